"""Why an attempt at a call gave no answer, and what can be done about it."""

from __future__ import annotations

import email.utils
import re
import time
from collections.abc import Mapping
from typing import Any, Literal

from prefdata.endpoint.endpoint import Endpoint
from prefdata.errors import ServiceError

Reason = Literal[
    "unauthorized",
    "not-found",
    "no-quota",
    "forbidden",
    "bad-request",
    "rate-limited",
    "server-error",
    "timeout",
    "connection",
    "bad-reply",
]
HOPELESS: tuple[Reason, ...] = ("unauthorized", "not-found", "no-quota")
"""Failures that every other call to the endpoint would share."""

REFUSED: tuple[Reason, ...] = ("bad-request", "forbidden")
"""Failures of this one call that another attempt would share: HTTP 403 is how gateways turn a single text away too."""

LONGEST_WAIT = 600.0
"""Seconds of Retry-After up to which a run waits; an endpoint that asks for more has ended it."""


class CallError(Exception):
    """One attempt that failed.

    ``retry_after`` is in seconds, and ``rate`` in calls a second, where the server named a time or a limit.
    """

    def __init__(
        self, reason: Reason, detail: str, retry_after: float | None = None, rate: float | None = None
    ) -> None:
        super().__init__(f"{reason}: {detail}")
        self.rate = rate
        self.reason = reason
        self.detail = detail
        self.retry_after = retry_after

    @property
    def transient(self) -> bool:
        """Whether the same call may succeed later."""
        return self.reason not in (*REFUSED, *HOPELESS)

    @property
    def record(self) -> dict[str, str]:
        """The failure as the ledger keeps it."""
        return {"reason": self.reason, "detail": self.detail}


def of_status(status: int, headers: Mapping[str, str], body: Any, text: str) -> CallError:
    """The failure that an HTTP status other than 200 means; ``body`` is the decoded JSON, where it was JSON."""
    error = body.get("error", body) if isinstance(body, dict) else None
    code = str(error.get("code") or error.get("type") or "") if isinstance(error, dict) else ""
    detail = f"HTTP {status}: {server_message(error, text)}"
    if status == 401:
        return CallError("unauthorized", detail)
    if status == 403:
        return CallError("forbidden", detail)
    if status == 404:
        return CallError("not-found", detail)
    if status == 402 or (status == 429 and "quota" in code):
        return CallError("no-quota", detail)
    if status == 429 and "request too large" in detail.lower():  # for the whole minute's limit: no wait makes it pass
        return CallError("bad-request", detail)
    if status == 429:
        return CallError("rate-limited", detail, retry_after(headers), rate_limit(headers))
    if status in (408, 409, 425) or status >= 500:
        return CallError("server-error", detail, retry_after(headers))
    return CallError("bad-request", detail)


def server_message(error: Any, text: str) -> str:
    """What the server said, on one line of at most 300 characters."""
    message = error.get("message") if isinstance(error, dict) else error
    words = message if isinstance(message, str) and message.strip() else text
    if title := re.search(r"<title>(.*?)</title>", words, re.IGNORECASE | re.DOTALL):
        words = f"an HTML page, {title[1].strip()!r}"
    line = " ".join(words.split())
    return (line if len(line) <= 300 else line[:297] + "...") or "no message"


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a reply asks to wait: Retry-After in seconds or as a date (RFC 9110), or retry-after-ms."""
    try:
        if milliseconds := headers.get("retry-after-ms"):
            return max(0.0, float(milliseconds) / 1000)
        value = headers.get("retry-after")
        if not value:
            return None
        if re.fullmatch(r"\d+(\.\d*)?", value.strip()):
            return float(value)
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None


def rate_limit(headers: Mapping[str, str]) -> float | None:
    """Calls a second by the x-ratelimit headers of a refusal: a limit that is used up and the time until it is whole.

    >>> rate_limit({"x-ratelimit-limit-requests": "500", "x-ratelimit-remaining-requests": "0",
    ...             "x-ratelimit-reset-requests": "1m0s"})
    8.333333333333334
    """
    limit, remaining, reset = (headers.get(f"x-ratelimit-{part}-requests") for part in ("limit", "remaining", "reset"))
    if not (limit and limit.isdecimal() and remaining == "0" and reset):
        return None
    units = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001, "": 1.0}
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|h|m|s|)", reset)
    seconds = sum(float(number) * units[unit] for number, unit in parts)
    return float(limit) / seconds if seconds > 0 else None


def service_error(endpoint: Endpoint, failure: CallError, *, answered: bool) -> ServiceError:
    """The end of a run whose endpoint cannot be used: what happened and what to do."""
    variable = endpoint.key_variable
    if failure.reason == "unauthorized":
        if endpoint.key() is None:
            return ServiceError(f"{endpoint} wants a key ({failure.detail})", f"export {variable}=…")
        return ServiceError(f"{endpoint} refuses the key ({failure.detail})", f"set a valid key: export {variable}=…")
    if failure.reason == "forbidden":
        allow = (
            f"see what {variable} may be used for"
            if endpoint.key() is not None
            else f"if it wants a key: export {variable}=…"
        )
        return ServiceError(f"{endpoint} forbids call after call ({failure.detail})", f"{allow}; then {_CONTINUE}")
    if failure.reason == "not-found":
        return ServiceError(
            f"{endpoint} is not there ({failure.detail})",
            "check the model's name and the base URL, which mostly ends in /v1",
        )
    if failure.reason == "no-quota":
        return ServiceError(f"{endpoint} has no quota left ({failure.detail})", f"add credit, then {_CONTINUE}")
    if failure.reason == "rate-limited":
        wait = f", try again in {failure.retry_after:.0f} s" if failure.retry_after else ""
        return ServiceError(
            f"{endpoint} lets no call through ({failure.detail}{wait})",
            f"lower --concurrency or wait, then {_CONTINUE}",
        )
    if failure.reason == "bad-request":
        return ServiceError(
            f"{endpoint} refuses every call ({failure.detail})", "change what it refuses, then run the command again"
        )
    state = "stopped answering" if answered else "never answered"
    hint = {
        "connection": "check that the server runs and that the base URL is right",
        "timeout": "check the server, or raise --timeout if it is slow",
        "bad-reply": "check the base URL: what answers there does not speak the OpenAI protocol",
    }.get(failure.reason, "check the server")
    return ServiceError(f"{endpoint} {state} ({failure.detail})", f"{hint}, then {_CONTINUE}")


_CONTINUE = "run the same command again: finished calls are kept"
