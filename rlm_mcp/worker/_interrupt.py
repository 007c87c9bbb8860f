"""Raising an exception inside running guest code, from another thread of the host.

CPython lets one thread raise an exception in another: it stores the exception's type in the
other's thread state and sets a bit that the interpreter looks at between instructions. The
host does the same by writing those two words into the guest's memory while the guest runs. A
loop stops within milliseconds and its variables stay; code inside one long C call is reached
only when that call returns, which is why a worker can also be ended from outside.

Where the words are is read from the table that CPython keeps for debuggers
(`_Py_DebugOffsets`, Include/internal/pycore_debug_offsets.h), found by its cookie. The base
image is only used with soft stops if an interrupt was seen to work when it was built.
"""

from __future__ import annotations

import ctypes
import threading
from dataclasses import dataclass

from ._memory import Memory

_COOKIE = b"xdebugpy"
_VERSION = 0x030F00F0
"""The layout of the table below is that of CPython 3.15.0; another version has another."""
_INTERPRETERS_HEAD, _THREADS_HEAD = 4, 8
_THREAD_INTERPRETER, _THREAD_ID, _EVAL_BREAKER = 24, 29, 104
"""Positions of the 64-bit words that are used, counted after the cookie."""
_ASYNC_EXCEPTION_BIT = 1 << 3
"""`_PY_ASYNC_EXCEPTION_BIT` in Include/internal/pycore_ceval.h."""


@dataclass(frozen=True)
class StopPoint:
    """Where to write, as addresses in the guest's memory.

    Args:
        async_exception: the word that takes the exception's type.
        eval_breaker: the word whose bit makes the interpreter look.
        exception: the address of the exception's type.
    """

    async_exception: int
    eval_breaker: int
    exception: int


def find_stop_point(memory: Memory, exception: int) -> StopPoint | None:
    """Find the words of the guest's only thread.

    Args:
        memory: of an instance that has run its bootstrap and is not running now.
        exception: the `id()` in the guest of the exception's type.

    Returns:
        The addresses, or `None` where the interpreter is not the one known here.
    """
    data = ctypes.string_at(memory.address, memory.size)
    cookie = data.find(_COOKIE)
    if cookie < 0 or data.find(_COOKIE, cookie + 1) >= 0:
        return None

    def word(position: int) -> int:
        start = cookie + len(_COOKIE) + 8 * position
        return int.from_bytes(data[start : start + 8], "little")

    if word(0) != _VERSION:
        return None
    interpreter = memory.read_u32(cookie + word(_INTERPRETERS_HEAD))
    thread = memory.read_u32(interpreter + word(_THREADS_HEAD))
    if memory.read_u32(thread + word(_THREAD_INTERPRETER)) != interpreter:
        return None
    # The word for the exception stands right before `thread_id`, which the table names.
    return StopPoint(thread + word(_THREAD_ID) - 4, thread + word(_EVAL_BREAKER), exception)


def make_immortal(memory: Memory, target: int, immortal: int) -> None:
    """Give an object the reference count of one that is never freed.

    Raising the exception takes away a reference that a write from outside has not added.

    Args:
        memory: of an instance that is not running.
        target: address of the object.
        immortal: address of an object that is immortal, such as `None`.
    """
    memory.write_u32(target, memory.read_u32(immortal))


class Interrupter:
    """Stops the turn that runs now, and never the one after it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._memory: Memory | None = None
        self._point: StopPoint | None = None

    def arm(self, memory: Memory, point: StopPoint | None) -> None:
        """Let `interrupt` reach the guest until `disarm`."""
        with self._lock:
            self._memory, self._point = memory, point

    def disarm(self) -> None:
        """End the reach of `interrupt`, and take back one that the guest has not seen."""
        with self._lock:
            if self._memory is not None and self._point is not None:
                self._memory.write_u32(self._point.async_exception, 0)
                breaker = self._memory.read_u32(self._point.eval_breaker)
                self._memory.write_u32(self._point.eval_breaker, breaker & ~_ASYNC_EXCEPTION_BIT)
            self._memory = None

    def interrupt(self) -> bool:
        """Raise the exception in the guest.

        Returns:
            Whether a turn was there to be reached.
        """
        with self._lock:
            if self._memory is None or self._point is None:
                return False
            self._memory.write_u32(self._point.async_exception, self._point.exception)
            breaker = self._memory.read_u32(self._point.eval_breaker)
            self._memory.write_u32(self._point.eval_breaker, breaker | _ASYNC_EXCEPTION_BIT)
            return True
