"""What is done to a memory before it becomes the base image, so that spaces write little to it.

What an execution writes is a page fault, and a page to compare and perhaps to commit, in each
space anew. Most of it is not the code's own: the interpreter counts references to what it uses,
and rewrites the code that it runs for the types that it sees.
"""

from __future__ import annotations

import gc
import json
import linecache
import sys
from array import array
from collections.abc import Iterable, Iterator
from types import CodeType
from typing import Any

from . import _execute, _peek, _preview

_AT_ONCE = 1 << 12
_ROUNDS = 12
"""A piece of code is rewritten when it has run a few times, and once more if that was too early;
with more rounds the executions after it write no less."""
_TRIALS = (
    "x = 1",
    "x = [str(i) for i in range(10)]; print(x)\nx",
    "x = {'a': 1, 'b': [2.5, None]}\nx['a'] += 1\nx",
    "def x(n):\n    return n + 1\nprint(f'{x(1)}')",
    "1 / 0",
    "1",
)


def warm_up(namespace: dict[str, Any], helpers: dict[str, Any]) -> None:
    """Run some code, and take back what it left.

    Args:
        namespace: the variables of the space; there are none yet.
        helpers: see `_execute.execute`.
    """
    for _ in range(_ROUNDS):
        for code in _TRIALS:
            json.dumps(_execute.execute(namespace, helpers, code, 0, 8000))
            _preview.preview(namespace["x"])
            _peek.peek(namespace, "x")
            _execute.check(full=False)
            _execute.tidy(namespace)
    for name in ("x", "_", "Out"):
        namespace.pop(name, None)
    linecache.cache.pop("<execution 0>", None)


def long_lived() -> Iterator[bytes]:
    """Addresses of all that is there now: the libraries, and this package.

    The host makes these objects immortal: references to them are no longer counted.

    Yields:
        The address of `None`, then others, some at a time. They must be immortal before the next
        are asked for, since what is immortal is not looked at again.
    """
    gc.unfreeze()  # what the artefact began with is in no list before
    part = array("I", [id(None)])
    for item in gc.get_objects():
        # What cannot be part of a cycle is in no list: texts, numbers, code.
        rest = [item]
        while rest:
            value = rest.pop()
            part.append(id(value))
            for inner in _parts(value):
                known = sys._is_immortal(inner)  # type: ignore[attr-defined]  # from 3.14 on
                if not known and not gc.is_tracked(inner):
                    rest.append(inner)
        if len(part) > _AT_ONCE:
            yield part.tobytes()
            part = array("I", [id(None)])
    yield part.tobytes()


def _parts(value: object) -> Iterable[object]:
    """What a value refers to."""
    if type(value) is not CodeType:
        return gc.get_referents(value)
    names = (value.co_name, value.co_qualname, value.co_filename)
    return (value.co_consts, value.co_names, value.co_varnames, *names)
