"""What stands before every page: whose request it is, where it came from, and what a browser may do with the answer."""

from __future__ import annotations

import ipaddress
from collections.abc import MutableMapping
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

ANY_ADDRESS = "*"
"""Among the names of a server: whatever address it is reached by, as it may have many that it does not know of."""
LARGEST_BODY = 4 << 20
"""Bytes of a request."""

HEADERS = {
    # Nothing but our own files runs or styles; nothing is loaded from, sent to or framed by another place.
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


class Guard:
    """Middleware: names of this server only, no writes from other sites, small bodies, strict headers."""

    def __init__(self, app: ASGIApp, hosts: frozenset[str], url: str) -> None:
        self._app = app
        self._hosts = hosts
        self._origin = _origin(url)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refused = self._refusal(scope["method"], Headers(scope=scope))

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                _protect(message, scope["path"])
            await send(message)

        if refused is not None:
            await PlainTextResponse(refused[1] + "\n", status_code=refused[0])(scope, receive, guarded)
        else:
            await self._app(scope, receive, guarded)

    def _refusal(self, method: str, headers: Headers) -> tuple[int, str] | None:
        host = headers.get("host", "")
        # A name that another site points at this machine (DNS rebinding) is none of ours.
        name = hostname(host)
        if name not in self._hosts and not (ANY_ADDRESS in self._hosts and _is_address(name)):
            return 421, "This server does not go by that name. Open the link as it was printed."
        if method in ("GET", "HEAD"):
            return None
        origin = headers.get("origin")
        # A proxy may give its own name for us as the host; the page's origin is then that of the printed links.
        if origin is not None and urlsplit(origin).netloc != host and origin != self._origin:
            return 403, "This came from a page of another site."
        if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return 403, "This came from a page of another site."
        length = headers.get("content-length")
        if length is None or not length.isdecimal():
            return 411, "A length must be given."
        if int(length) > LARGEST_BODY:
            return 413, f"This is more than {LARGEST_BODY >> 20} MiB."
        return None


def hostname(host: str) -> str:
    """The name in a Host header, without its port.

    >>> hostname("127.0.0.1:8080"), hostname("[::1]:80"), hostname("Box")
    ('127.0.0.1', '::1', 'box')
    """
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def _origin(url: str) -> str:
    """The origin that a browser names for pages of ``url``.

    >>> _origin("https://Notes.example.org:443/"), _origin("http://box:8080")
    ('https://notes.example.org', 'http://box:8080')
    """
    parts = urlsplit(url)
    name = parts.hostname or ""
    name = f"[{name}]" if ":" in name else name
    usual = parts.port in (None, {"http": 80, "https": 443}.get(parts.scheme))
    return f"{parts.scheme}://{name}" + ("" if usual else f":{parts.port}")


def _is_address(name: str) -> bool:
    """Whether a host is given by its address: no other site can have that point to this machine."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _protect(message: MutableMapping[str, Any], path: str) -> None:
    headers = MutableHeaders(raw=message["headers"])
    for name, value in HEADERS.items():
        headers[name] = value
    if path.startswith("/static/"):
        headers.setdefault("cache-control", "max-age=3600")
    else:
        headers["cache-control"] = "no-store"
