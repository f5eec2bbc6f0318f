"""Signed links: who holds one may annotate under its name, and nobody else may do anything.

The key lies beside the store in ``STORE.secret``, readable by its owner only, so that a copy of the store that is
passed on lets nobody in. Another key is another store's: its links are refused here.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
from pathlib import Path
from typing import Literal

from prefdata.errors import InputError

Role = Literal["annotator", "owner"]
KEY_BYTES = 32


class Links:
    """Makes and reads the signatures of one store."""

    def __init__(self, store: Path, id: str) -> None:
        from itsdangerous import URLSafeSerializer

        self._key = _key(store.with_name(store.name + ".secret"))
        self._serializer = URLSafeSerializer(self._key, salt=f"prefdata annotate {id}")

    def sign(self, role: Role, name: str) -> str:
        """What stands in the link of ``name``, and in its cookie."""
        return str(self._serializer.dumps([role, name]))

    def read(self, signed: str) -> tuple[Role, str] | None:
        """Whose link it is; None for one that this store did not sign."""
        from itsdangerous import BadData

        try:
            found = self._serializer.loads(signed)
        except BadData:
            return None
        match found:
            case ["annotator" | "owner" as role, str(name)]:
                return role, name
        return None

    def form_token(self, role: Role, name: str) -> str:
        """What every form of that person must send along: another site cannot know it."""
        message = f"form\0{role}\0{name}".encode()
        return hmac.new(self._key, message, hashlib.sha256).hexdigest()

    def form_token_holds(self, token: str, role: Role, name: str) -> bool:
        """Whether a form came from a page of ours."""
        return hmac.compare_digest(token.encode(), self.form_token(role, name).encode())


def _key(path: Path) -> bytes:
    if not path.exists():
        made = path.with_name(f".{path.name}.{os.getpid()}.part")
        made.unlink(missing_ok=True)
        handle = os.open(made, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(KEY_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(made, path)  # fails where another process was first: then its key counts
        except FileExistsError:
            pass
        finally:
            made.unlink()
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise InputError(f"{path} can be read by others", f"chmod 600 {path}, or delete it: links then change")
    key = path.read_text(encoding="ascii", errors="replace").strip()
    if len(key) < 2 * KEY_BYTES:
        raise InputError(f"{path} holds no key", "delete it: a new one is made, and links change")
    return bytes.fromhex(key)
