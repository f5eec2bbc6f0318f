"""``prefdata annotate``: serve a store to the people who annotate it."""

from __future__ import annotations

import getpass
import ipaddress
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from prefdata.annotation.importing import Imported, add_responses, set_gold, set_queue
from prefdata.annotation.rubric import read_rubric
from prefdata.annotation.store import OWNER, Store, opened
from prefdata.errors import MissingExtraError, PrefdataError, ServiceError, UsageError
from prefdata.records.sources import STDIN, sources

Paths = str | Path | Sequence[str | Path]
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True, slots=True)
class Served:
    """What ``annotate`` tells when it begins to serve."""

    imported: Imported
    annotators: Mapping[str, str]
    """Links by name; none at a terminal."""
    owner: str | None
    """The owner's link."""
    open_to_others: bool
    """The server listens on more than this machine's own loopback."""
    gold: int = 0
    queued: int = 0


def annotate(
    responses: Paths,
    store: str | Path,
    *,
    annotators: Sequence[str] = (),
    host: str = "127.0.0.1",
    port: int = 8080,
    url: str | None = None,
    overlap: int | None = None,
    reask_rate: float | None = None,
    gold: Paths | None = None,
    gold_rate: float | None = None,
    queue: Paths | None = None,
    lease_minutes: float | None = None,
    template: str | Path | None = None,
    seed: int | None = None,
    limit: int | None = None,
    terminal: bool = False,
    ready: Callable[[Served], None] | None = None,
) -> None:
    """Take ``responses`` into ``store`` (made if it is not there) and serve it until interrupted.

    ``annotators`` are those of the store where none is named, and the login name where it has none.
    ``ready`` is told what came in, and the links, when the server listens. ``url`` is the address under which people
    reach it, where that is not ``http://host:port``. Settings that are None stay as the store has them. ``terminal``
    asks one annotator here instead, without a server, until nothing is left. Raises InputError, UsageError,
    MissingExtraError, and ServiceError where the port cannot be had.
    """
    _require()
    rubric = read_rubric(Path(template)).document if template is not None else None
    settings = {
        "overlap": overlap,
        "reask_rate": reask_rate,
        "gold_rate": gold_rate,
        "lease_minutes": lease_minutes,
        "seed": seed,
        "rubric": rubric,
    }
    out = Path(store)
    if not out.parent.is_dir():
        raise UsageError(f"the folder {out.parent} for the store does not exist", f"mkdir -p {out.parent}")
    if terminal and len(annotators) > 1:
        raise UsageError("--terminal asks one person", "name one --annotator")
    names_of_server = _names_of(host, url)
    for source in sources([name for paths in (responses, gold, queue) if paths is not None for name in _names(paths)]):
        if source.name != STDIN:
            source.open().close()  # what is not there is said before a store is made
    made = not out.exists()
    with opened(out, create=True) as held:
        try:
            names = list(annotators) or held.annotators() or [_login()]
            if terminal and len(names) > 1:
                raise UsageError("--terminal asks one person", f"name one --annotator: {', '.join(names)}")
            held.configure(settings)
            held.add_annotators(names)
            imported = add_responses(held, _names(responses), limit)
        except PrefdataError:
            if made:  # with nothing in it that anyone could miss
                held.discard()
            raise
        gold_items = set_gold(held, _names(gold)) if gold is not None else 0
        queued = set_queue(held, _names(queue)) if queue is not None else 0
        if terminal:
            from prefdata.annotation.terminal import ask

            if ready is not None:
                ready(Served(imported, {}, None, False, gold_items, queued))
            ask(held, names[0])
            return
        _serve(held, names, imported, (gold_items, queued), host, port, names_of_server, ready)


def _serve(
    store: Store,
    names: Sequence[str],
    imported: Imported,
    marked: tuple[int, int],
    host: str,
    port: int,
    names_of_server: tuple[str | None, frozenset[str]],
    ready: Callable[[Served], None] | None,
) -> None:
    import uvicorn

    from prefdata.annotation.links import Links
    from prefdata.annotation.server import build

    base, hosts = names_of_server
    listening = _listen(host, port)
    if base is None:
        shown = "127.0.0.1" if host in ("", "0.0.0.0") else host
        shown = socket.gethostname() if host in ("0.0.0.0", "::") else shown
        at = f"[{shown}]" if ":" in shown else shown
        base = f"http://{at}:{listening.getsockname()[1]}"
    links = Links(store.path, store.id)
    app = build(store, links, hosts, base)
    told = Served(
        imported,
        {name: f"{base}/in/{links.sign('annotator', name)}" for name in names},
        f"{base}/in/{links.sign('owner', OWNER)}",
        not _is_loopback(host),
        *marked,
    )

    class Announcing(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if ready is not None:
                ready(told)

    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=5,
        timeout_keep_alive=75,
    )
    with listening:
        Announcing(config).run(sockets=[listening])


def _names_of(host: str, url: str | None) -> tuple[str | None, frozenset[str]]:
    """The base of links where ``url`` gives one, and the names that the server goes by."""
    from prefdata.annotation.security import ANY_ADDRESS

    hosts = set(LOOPBACK)
    base = None
    if url is not None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError(f"{url} is no address", "write it as https://annotate.example.org")
        if parts.path.strip("/") or parts.query or parts.fragment or parts.username:
            raise UsageError(
                f"{url} is more than a host and a port, and the pages stand at the root of one",
                "give the proxy a host name of its own, as https://annotate.example.org",
            )
        hosts.add(parts.hostname.lower())
        base = url.rstrip("/")
    if host in ("0.0.0.0", "::"):
        hosts |= {socket.gethostname().lower(), socket.getfqdn().lower(), ANY_ADDRESS}
    else:
        hosts.add(host.lower())
    return base, frozenset(hosts)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
        made.listen(1024)
    except OSError as error:
        made.close()
        raise ServiceError(
            f"cannot listen on {host} port {port}: {error.strerror or error}", "name another --port, or 0 for any"
        ) from None
    return made


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _require() -> None:
    try:
        import fastapi
        import jinja2
        import nh3
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(
            f"annotate needs packages that are not installed ({error.name})", "pip install 'prefdata[annotate]'"
        ) from None
    del fastapi, jinja2, nh3


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "annotator"


def _names(paths: Any) -> list[str]:
    return [str(paths)] if isinstance(paths, str | Path) else [str(path) for path in paths]
