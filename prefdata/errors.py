"""What can go wrong, by name.

::

    PrefdataError                exit code, what happened, what to do about it
    ├── UsageError               2  flags or a template that cannot be meant
    ├── InputError               2  a file that is missing, a directory, unreadable, or not what the step takes
    ├── OutputExistsError        2  finished work stands where the output should go
    ├── RenderingError           2  a chat template that cannot be rendered with verified spans
    ├── DatasetError             3  a dataset whose manifest or hashes do not hold
    ├── ServiceError             3  an endpoint, its key or its quota
    └── MissingExtraError        3  an optional package that is not installed

Every one is expected: the command line prints its message and hint in two lines, without a traceback.
"""

from __future__ import annotations


class PrefdataError(Exception):
    """An expected failure: ``message`` says what happened, ``hint`` what to do, ``exit_code`` what the shell sees."""

    exit_code = 2

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(PrefdataError):
    """Flags, a configuration file or a template that cannot be meant."""


class InputError(PrefdataError):
    """An input file that is missing, a directory, unreadable, or not what the step takes."""


class OutputExistsError(PrefdataError):
    """Finished work stands where the output should go."""


class RenderingError(PrefdataError):
    """A chat template whose rendering cannot be split into turns with certainty."""


class DatasetError(PrefdataError):
    """A dataset folder whose manifest or hashes do not hold."""

    exit_code = 3


class ServiceError(PrefdataError):
    """An endpoint that cannot be reached, refuses the key, or does not speak the protocol."""

    exit_code = 3


class MissingExtraError(PrefdataError):
    """An optional package that is not installed."""

    exit_code = 3
