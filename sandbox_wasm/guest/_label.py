"""The name of a value: its type and its size, as in `list 3,201 items`."""

from typing import Any

from ._fit import clip, plural
from ._guard import pass_interrupt
from ._kinds import base_of, length_of, table_kind, type_name

_UNITS: dict[Any, str] = {str: "char", bytes: "byte", bytearray: "byte", dict: "key"}


def unit_of(value: object) -> str:
    """What the length of a text or container counts, in the singular."""
    return _UNITS.get(base_of(value), "item")


def label(value: object) -> str:
    """Type and size: `list 3,201 items`."""
    kind, size = type(value), length_of(value)
    if size is None:
        return table_label(value) or type_name(kind)
    base: Any = base_of(value)
    name = type_name(kind) if kind is base else f"{type_name(kind)} ({base.__name__})"
    return f"{name} {plural(size, unit_of(value))}"


def table_label(value: Any) -> str | None:
    """Type and size of a table of pandas or numpy, or None. May run code of theirs."""
    name = type_name(type(value))
    try:
        match table_kind(value):
            case "frame":
                rows, columns = value.shape
                return f"{name} {plural(rows, 'row')} x {plural(columns, 'column')}"
            case "series":
                return f"{name} {plural(len(value), 'item')} {value.dtype}"
            case "array":
                return f"{name} {value.shape} {clip(str(value.dtype), 60)}"
    except BaseException as error:
        pass_interrupt(error)
    return None
