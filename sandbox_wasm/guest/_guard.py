"""Calls of code that belongs to the guest: bounded in depth, and total where they must be."""

import sys
from collections.abc import Callable
from typing import Any

from ._fit import clip, escape
from ._kinds import inherited, type_name

_FRAMES = 1_000  # guest code may have raised the limit beyond what its stack carries


def pass_interrupt(error: BaseException) -> None:
    """Raise again what the host stops code with; a guard that swallowed it would be endless.

    It is the one BaseException of this package. `_execute` defines it, above this module.
    """
    module = inherited(type(error), "__module__")
    if not isinstance(error, Exception) and str(module).startswith(__package__ or "rlm_guest"):
        raise error


def guarded(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call what may run user code, with a bounded depth of recursion."""
    limit = sys.getrecursionlimit()
    try:
        sys.setrecursionlimit(min(limit, _FRAMES))
        return function(*arguments)
    finally:
        sys.setrecursionlimit(limit)


def guarded_repr(
    value: object,
    room: int,
    keep_lines: bool = False,
    show: Callable[[Any], str] = repr,
) -> str:
    """`repr(value)`, by default on one line, or what it raised."""

    def cut() -> str:
        text = escape(str.__getitem__(show(value), slice(0, room + 1)))
        return clip(text if keep_lines else " ".join(text.split()), room)

    try:
        return str(guarded(cut))
    except BaseException as error:
        pass_interrupt(error)
        return f"<{type_name(type(value))}: its repr raised {type_name(type(error))}>"
