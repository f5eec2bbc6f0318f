"""Outputs that appear whole or not at all, and the state folder that unfinished work is kept in.

``OUT.state/`` stands beside OUT while work is unfinished. It is safe to delete: what is lost is then the work in it.
Its ``settings.json`` holds a fingerprint of the inputs and settings, so that unfinished work is continued only by the
command that began it. Work that is addressed by its content (a ledger of calls) has no such fingerprint: any run may
use it, and it outlives the run.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import orjson

from prefdata.errors import InputError, OutputExistsError, UsageError
from prefdata.records.ids import content_id

LOCK = "lock"


def state_folder(out: Path) -> Path:
    """Where unfinished work for ``out`` is kept."""
    return out.with_name(out.name + ".state")


def check_output(out: Path, overwrite: bool) -> None:
    """Raise OutputExistsError where finished work stands at ``out``, and InputError where no file can be put there.

    Raises UsageError for what is neither file nor folder.
    """
    if not out.parent.is_dir():
        raise InputError(f"the folder {out.parent} for the output does not exist", f"mkdir -p {out.parent}")
    if not os.access(out.parent, os.W_OK | os.X_OK):
        raise InputError(f"nothing can be written into the folder {out.parent}", "choose another, or see who may write")
    if out.exists() and not (out.is_file() or out.is_dir()):  # to replace /dev/null would break the machine
        raise UsageError(f"{out} is a device or a pipe, not a file that can be written whole", "name a file")
    if out.exists() and not overwrite:
        raise OutputExistsError(
            f"{out} is finished work and is not overwritten", "choose another -o, or pass --overwrite"
        )


@contextmanager
def atomic_file(path: Path) -> Iterator[IO[bytes]]:
    """A file that appears at ``path`` with all its bytes, flushed to disk, or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def move_into_place(built: Path, out: Path) -> None:
    """Move the finished file ``built`` to ``out``, whole or not at all, over to another file system if need be."""
    with built.open("rb") as file:
        os.fsync(file.fileno())
    try:
        built.replace(out)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        with built.open("rb") as file, atomic_file(out) as copy:
            shutil.copyfileobj(file, copy, 1 << 20)
        built.unlink()


def write_json(path: Path, document: Any) -> None:
    """``document`` as indented JSON at ``path``, atomically."""
    with atomic_file(path) as file:
        file.write(orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


class State:
    """The state folder of one output, held by one process at a time.

    Raises UsageError when another process holds it, or when it was begun with other settings; ``None`` for settings
    says that what it holds may be used under any. Raises InputError where it cannot be made.
    """

    def __init__(self, out: Path, settings: Mapping[str, Any] | None, *, restart: bool = False) -> None:
        self.out = out
        self.folder = state_folder(out)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock: int | None = self._take_lock()
        except OSError as error:
            raise InputError(
                f"{self.folder}, where unfinished work is kept, cannot be used: {error.strerror}",
                f"choose another -o, or remove {self.folder}" if self.folder.exists() else "choose another -o",
            ) from None
        self.resumed = False
        if settings is None:
            return
        path = self.folder / "settings.json"
        wanted = {"fingerprint": content_id(settings), "settings": dict(settings)}
        if path.exists() and not restart:
            try:
                begun = orjson.loads(path.read_bytes())
            except orjson.JSONDecodeError:
                begun = {}
            if begun.get("fingerprint") != wanted["fingerprint"]:
                self.close()
                raise UsageError(
                    f"{self.folder} holds unfinished work begun with other settings ({_difference(begun, wanted)})",
                    f"run that command again to finish it, choose another -o, or delete {self.folder} to start anew",
                )
            self.resumed = True
        else:
            write_json(path, wanted)

    def path(self, name: str) -> Path:
        """A path inside the state folder."""
        return self.folder / name

    def finish(self, keep: Collection[str] = ()) -> None:
        """Remove the state folder, or all in it but ``keep``: the work in it is finished and stands at ``out``."""
        if not keep:
            self.close()
            shutil.rmtree(self.folder, ignore_errors=True)
            return
        for path in self.folder.iterdir():
            if path.name not in keep and path.name != LOCK:
                path.unlink()
        self.close()

    def close(self) -> None:
        """Let go of the state folder and leave it for the next run."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> State:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _take_lock(self) -> int:
        handle = os.open(self.folder / LOCK, os.O_CREAT | os.O_RDWR)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(handle)
            raise UsageError(
                f"another prefdata process is at work on {self.out}", "wait for it, or choose another -o"
            ) from None
        return handle


def replace_folder(built: Path, out: Path) -> None:
    """Move the folder ``built`` to ``out``; an old ``out`` is put aside first and removed last.

    Killed between the two moves, the old folder lies beside ``built`` and the next run moves the new one again.
    """
    aside = built.with_name(built.name + ".old")
    shutil.rmtree(aside, ignore_errors=True)
    if out.exists():
        out.rename(aside)
    built.rename(out)
    shutil.rmtree(aside, ignore_errors=True)


def _difference(begun: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    old, new = begun.get("settings", {}), wanted["settings"]
    names = sorted(name for name in {*old, *new} if old.get(name) != new.get(name))
    return (
        ", ".join(f"{name}: {_short(old.get(name))} then, {_short(new.get(name))} now" for name in names[:3])
        or "unreadable settings"
    )


def _short(value: Any) -> str:
    text = orjson.dumps(value, default=str).decode()
    return text if len(text) <= 60 else text[:57] + "..."
