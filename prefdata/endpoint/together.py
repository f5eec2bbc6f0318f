"""Work that is done at once."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any


async def all_at_once(work: Iterable[Coroutine[Any, Any, object]]) -> None:
    """Do all of ``work`` at once; the first error cancels the rest and waits for it, so that no call is left alone."""
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
