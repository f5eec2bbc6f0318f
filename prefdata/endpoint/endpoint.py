"""Which model to ask, where, and with which key.

An endpoint is written ``MODEL``, ``MODEL@BASE_URL`` or ``NAME=MODEL@BASE_URL``. Without a base URL it is that of
``OPENAI_BASE_URL`` (else OpenAI's own), and its key is ``OPENAI_API_KEY``. An endpoint with a base URL of its own gets
only its own key, ``<NAME>_API_KEY``: a key is never sent to a host that it was not meant for.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from prefdata.errors import ServiceError, UsageError

OPENAI = "https://api.openai.com/v1"
FORMS = "write MODEL, MODEL@https://host/v1 or NAME=MODEL@https://host/v1"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A model at a base URL, under the name by which records call it."""

    name: str
    model: str
    base_url: str
    key_variable: str
    """The environment variable that holds its key; the key itself is kept nowhere."""

    def __str__(self) -> str:
        return f"{self.name} at {self.base_url}"

    @property
    def loopback(self) -> bool:
        """Whether it is on this machine, where no proxy stands between."""
        host = urlsplit(self.base_url).hostname or ""
        return host in ("localhost", "::1") or host.startswith("127.")

    def key(self, environment: Mapping[str, str] = os.environ) -> str | None:
        """The key, where one is set."""
        return environment.get(self.key_variable) or None

    def check_key(self, environment: Mapping[str, str] = os.environ) -> None:
        """Raise ServiceError where a key is certainly needed and none is set."""
        if self.base_url == OPENAI and self.key(environment) is None:
            raise ServiceError(
                f"no key for {self}",
                f"export {self.key_variable}=…, or name a server of your own: {self.model}@http://localhost:8000/v1",
            )


def parse_endpoint(spec: str, environment: Mapping[str, str] = os.environ) -> Endpoint:
    """The endpoint that ``spec`` means; raises UsageError for one that cannot be meant.

    >>> parse_endpoint("small=org/small-1b@http://localhost:8000/v1/", {})
    Endpoint(name='small', model='org/small-1b', base_url='http://localhost:8000/v1', key_variable='SMALL_API_KEY')
    >>> parse_endpoint("gpt-x", {}).base_url
    'https://api.openai.com/v1'
    """
    target, url = spec, None
    if match := re.fullmatch(r"(.*?)@([a-z][a-z0-9+.-]*://.*)", spec):
        target, url = match[1], match[2]
    elif re.fullmatch(r".*@[\w.-]+:\d+(/.*)?", spec):
        raise UsageError(f"{spec!r}: a base URL begins with http:// or https://", FORMS)
    name, equals, model = target.partition("=")
    if not equals:
        model = name
    if not model or not name:
        raise UsageError(f"{spec!r} names no model", FORMS)
    if url is None:
        return Endpoint(name, model, _base_url(environment.get("OPENAI_BASE_URL") or OPENAI), "OPENAI_API_KEY")
    variable = re.sub(r"\W", "_", name.rsplit("/", 1)[-1]).upper() + "_API_KEY"
    return Endpoint(name, model, _base_url(url), variable if not variable[0].isdigit() else "_" + variable)


def _base_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise UsageError(f"{url!r} is no base URL", "for example http://localhost:8000/v1")
    return url.rstrip("/")
