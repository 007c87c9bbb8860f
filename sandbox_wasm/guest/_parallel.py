"""`pmap`: a function over many items, on forks of this space, on all cores.

What the function refers to is not copied where the forks have it already: they begin as this
execution found the space. Only what this execution made is sent along.
"""

from __future__ import annotations

import asyncio
import base64
import io
import marshal
import pickle
import sys
from collections.abc import Callable, Iterable, Iterator
from types import CodeType, CoroutineType, FunctionType
from typing import Any, Literal

from . import _door, _events, _trace, _variables
from ._kinds import is_own

_MAIN: dict[str, Any] = sys.modules["__main__"].__dict__
MAX_BYTES = 40 << 20
"""Of what goes to the forks, and of what comes back from one: both travel in one message."""

_at_start: dict[str, Any] = {}
_in_fork = False


class PmapError(Exception):
    """`pmap` could not be carried out, or an item's exception could not be brought back."""


def begin(values: dict[str, Any]) -> None:
    """Note the variables that the running execution found, as a snapshot holds them."""
    global _at_start
    _at_start = values


def end() -> None:
    """Forget them: nothing that is deleted should be kept alive."""
    begin({})


def at_start() -> dict[str, Any]:
    """The variables that every fork of the running execution has, as a snapshot holds them."""
    return _at_start


def in_fork() -> bool:
    """Whether this is a fork that carries out a part of a `pmap`."""
    return _in_fork


def pmap(
    function: Callable[[Any], Any],
    items: Iterable[Any],
    *,
    workers: int | None = None,
    on_error: Literal["raise", "return"] = "raise",
) -> list[Any]:
    """Call a function for each item, in parallel, on forks of this space.

    The forks see the variables as this execution found them, plus what the function refers to
    that this execution made. What they change is not seen here: return what you need.

    Args:
        function: takes one item, may be `async`; its result must be picklable.
        items: picklable.
        workers: how many forks; left out, as many as there are cores.
        on_error: `raise` the first item's exception, or `return` exceptions in their places.

    Returns:
        The results in the order of the items.

    Raises:
        PmapError: something cannot be pickled, or is too large.
    """
    if _in_fork:
        raise PmapError("pmap inside pmap is not possible; use a plain loop there")
    if not callable(function):
        raise TypeError("pmap(function, items): the first argument must be a function")
    if on_error not in ("raise", "return"):
        raise ValueError("on_error must be 'raise' or 'return'")
    sent = [_text(dumps(item, "an item of pmap")) for item in items]
    if not sent:
        return []
    shared = _text(dumps((function, dict(made_now(function))), "the function of pmap"))
    if len(shared) + sum(map(len, sent)) > MAX_BYTES:
        raise PmapError(
            "the items are over 30 MB: put the data into a variable in an earlier execution and "
            "pass indexes or keys; the forks see that variable"
        )
    try:
        answer = _door.ask("pmap", shared=shared, items=sent, workers=workers)
    except _door.HostError as error:
        raise PmapError(str(error)) from None
    results: list[Any] = []
    for index, (kind, text) in enumerate(answer["results"]):
        value: Any = PmapError(text)
        if kind != "text":
            value = pickle.loads(base64.b64decode(text))  # noqa: S301 - inside the sandbox
        if kind != "value" and on_error == "raise":
            value.add_note(f"(in pmap, item {index})")
            raise value
        results.append(value)
    return results


def run(request: dict[str, Any]) -> dict[str, Any]:
    """In a fork: call the function for some of the items."""
    global _in_fork
    _in_fork = True
    begin({name: value for name, value in _MAIN.items() if isinstance(value, type)})
    function, made = pickle.loads(base64.b64decode(request["shared"]))  # noqa: S301
    _MAIN.update(made)
    results: list[tuple[str, str]] = []
    size = 0
    _events.install()
    _door.raw(_door.ARM)
    for item in request["items"]:
        kind, text = _one(function, item)
        size += len(text)
        if size > MAX_BYTES:
            kind, text = "text", "the results of pmap are over 30 MB: return less for each item"
        results.append((kind, text))
    _door.raw(_door.DISARM)
    return {"results": results}


def _one(function: Callable[[Any], Any], item: str) -> tuple[str, str]:
    try:
        value = function(pickle.loads(base64.b64decode(item)))  # noqa: S301
        if isinstance(value, CoroutineType):
            value = asyncio.run(value)
        return "value", _text(dumps(value, "a result of pmap", _MAIN))
    except Exception as error:
        described = _trace.describe(error, 1500)
        error.__traceback__ = error.__context__ = error.__cause__ = None
        try:
            error.add_note(described)
            return "error", _text(dumps(error, "an exception in pmap", _MAIN))
        except Exception:
            return "text", described


def made_now(function: Any) -> Iterator[tuple[str, Any]]:
    """The variables that a function needs and the forks do not have; none of other values."""
    seen: set[str] = set()
    waiting: list[Any] = [function]
    while waiting:
        target = waiting.pop()
        if not isinstance(target, FunctionType) or target.__globals__ is not _MAIN:
            continue
        for name in _names(target.__code__):
            if name in seen or name not in _MAIN:
                continue
            seen.add(name)
            value = _MAIN[name]
            waiting.append(value)
            known = name in _at_start and _variables.is_same(_at_start[name], value)
            if not known and not is_own(value):
                yield name, value


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _function(
    code: bytes, name: str, defaults: Any, keywords: Any, more: dict[str, Any]
) -> FunctionType:
    made = FunctionType(marshal.loads(code), _MAIN, name, defaults)
    made.__kwdefaults__ = keywords
    made.__dict__.update(more)
    return made


def dumps(value: Any, what: str, known: dict[str, Any] | None = None) -> bytes:
    """A value as bytes for another fork.

    Args:
        value: the value.
        what: it is, for the error.
        known: classes that the other has too, by name; left out, those of `at_start`.

    Raises:
        PmapError: it cannot be pickled.
    """
    import cloudpickle

    there = _at_start if known is None else known

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
        """Refers to what the forks have instead of copying it."""

        def reducer_override(self, item: Any) -> Any:
            if type(item) is FunctionType and item.__globals__ is _MAIN and not item.__closure__:
                return _function, (
                    marshal.dumps(item.__code__), item.__name__, item.__defaults__,
                    item.__kwdefaults__, item.__dict__,
                )  # fmt: skip
            name = getattr(item, "__name__", None)
            if isinstance(item, type) and name is not None and there.get(name) is item:
                return lookup, (name,)
            return super().reducer_override(item)

    buffer = io.BytesIO()
    try:
        Pickler(buffer).dump(value)
    except Exception as error:
        raise PmapError(
            f"{what} cannot be pickled ({type(error).__name__}: {str(error)[:200]})"
        ) from None
    return buffer.getvalue()


def lookup(name: str) -> Any:
    """What a pickle refers to by its name."""
    return _MAIN[name]


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
