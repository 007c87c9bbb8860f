"""Values that go from one space to another. Pickles are made and read inside guests only."""

from __future__ import annotations

import contextlib
import io
import pickle
from collections.abc import Mapping
from types import FunctionType
from typing import Any

from ._parallel import lookup
from ._text import Source

_READ = 32 << 20


class CopyError(Exception):
    """A value cannot be copied; the text says why."""


def pickled(value: Any, known: Mapping[str, Any] = {}, beside: Any = None) -> bytes:
    """A value as bytes, with the classes and functions that it needs.

    Args:
        value: the value.
        known: classes and functions that the other space has too, by name.
        beside: what is to go along, as the second of a pair, if anything is.

    Raises:
        CopyError: it holds something that is bound to this interpreter.
    """
    import cloudpickle

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
        """Refers to what is known there by its name."""

        def reducer_override(self, item: Any) -> Any:
            if isinstance(item, type | FunctionType):
                name = item.__name__
                if known.get(name) is item:
                    return lookup, (name,)
            return super().reducer_override(item)

    buffer = io.BytesIO()
    try:
        Pickler(buffer).dump(value if beside is None else (value, beside))
    except Exception as error:
        raise CopyError(
            f"a {type(value).__name__} cannot be copied ({type(error).__name__}: "
            f"{str(error)[:200]}); copy what it was made from, or fork the space"
        ) from None
    return buffer.getvalue()


def export(variables: dict[str, Any]) -> tuple[bytes, list[str]]:
    """Variables as bytes, to be carried to another version of the interpreter.

    Returns:
        The bytes, and what had to be left behind: each a name with the reason.
    """
    with contextlib.suppress(CopyError):
        return pickled(variables), []  # together, so that what they share stays shared
    kept: dict[str, Any] = {}
    left: list[str] = []
    for name, value in variables.items():
        try:
            pickled(value)
            kept[name] = value
        except CopyError:
            left.append(f"{name} ({type(value).__name__})")
    return pickled(kept), left


def read(source: Source) -> Any:
    """The value that another space pickled.

    Raises:
        CopyError: it cannot be read here.
    """
    parts = (source.read(at, _READ) for at in range(0, source.size, _READ))
    try:
        return pickle.load(io.BytesIO(b"".join(parts)))  # noqa: S301 - inside the sandbox
    except Exception as error:
        raise CopyError(
            f"the value cannot be read in this space ({type(error).__name__}: {str(error)[:200]})"
        ) from None
