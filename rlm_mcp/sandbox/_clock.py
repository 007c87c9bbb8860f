"""How long guest code may run: a deadline that does not count the waiting for others."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator


class Clock:
    """A deadline that stands still while the guest waits for the server.

    Args:
        seconds: that guest code may run.
    """

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds
        self._since = 0.0
        self._holders = 0

    @contextlib.contextmanager
    def standing(self) -> Iterator[None]:
        """Let no time pass during the block; blocks may overlap."""
        self._holders += 1
        if self._holders == 1:
            self._since = time.monotonic()
        try:
            yield
        finally:
            self._holders -= 1
            if not self._holders:
                self._end += time.monotonic() - self._since

    def left(self) -> float:
        """Seconds that are left; while it stands still, when to look again."""
        if self._holders:
            return 1.0
        return self._end - time.monotonic()
