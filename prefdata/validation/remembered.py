"""What was found out about a few characters, so that whole columns of them are looked up by a loop in C."""

from __future__ import annotations

MOST = 1 << 16


class Remembered(dict[str, bool]):
    """Answers by the characters asked about, each worked out by ``__missing__`` when it is first asked for."""

    def remember(self, characters: str, answer: bool) -> bool:
        """Keep an answer for the next time, as long as there are not too many."""
        if len(self) >= MOST:
            self.clear()
        self[characters] = answer
        return answer
