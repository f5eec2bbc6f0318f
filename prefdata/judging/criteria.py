"""What to judge by, from a file of the user's."""

from __future__ import annotations

from pathlib import Path

from prefdata.errors import InputError, UsageError
from prefdata.judging.template import read_yaml

HINT = "a line a criterion, as in 'brevity: says no more than is useful', or a YAML mapping of the same"


def read_criteria(path: Path) -> dict[str, str]:
    """Criteria by name, with what each means: a YAML mapping (.yaml, .yml), or lines of text ``NAME: MEANING``.

    Raises InputError or UsageError.
    """
    if path.suffix in (".yaml", ".yml"):
        document = read_yaml(path, "criteria", HINT)
        if not isinstance(document, dict) or not all(isinstance(each, str | None) for each in document.values()):
            raise UsageError(f"{path} holds no mapping of criteria", HINT)
        found = {str(name).strip(): (text or "").strip() for name, text in document.items()}
    else:
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            raise InputError(f"{path}: no such criteria file", HINT) from None
        except OSError as error:
            raise InputError(f"{path}: {error.strerror}", HINT) from None
        except UnicodeDecodeError:
            raise InputError(f"{path} is not UTF-8", "save it as UTF-8") from None
        parts = [line.lstrip("-* ").partition(":") for line in lines if line.strip()]
        found = {name.strip(): text.strip() for name, _, text in parts}
        if len(found) < len(parts):
            raise UsageError(f"{path} names one criterion twice", HINT)
    if not found or not all(found):
        raise UsageError(f"{path} holds no criteria" if not found else f"{path}: a criterion has no name", HINT)
    return found
