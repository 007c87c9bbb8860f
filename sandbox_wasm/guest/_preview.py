"""Descriptions of values that are short, quick and total, whatever the value is.

`preview` answers what an agent needs to write its first line of code, `echo` shows a result as a
prompt does. Everything large is sampled, and then the text says "about" or "sampled".
"""

import types
from typing import Any

from ._fit import clip, escape
from ._guard import guarded_repr, pass_interrupt
from ._hits import Hit, is_shown
from ._kinds import base_of, first_items, has_own_repr, table_kind, type_name
from ._preview_folder import describe_folder, folder_paths
from ._preview_nested import describe_container
from ._preview_object import describe_class, describe_function, describe_object
from ._preview_table import describe_array, describe_frame, describe_frames
from ._preview_text import describe_text
from ._render import brief, short
from ._view import is_view
from ._view_show import describe_view


def preview(value: object, max_chars: int = 2_500) -> str:
    """What an agent needs before its first line of code: type, size, shape, head, tail, oddities.

    At most `max_chars` characters and about 100 ms, whatever the value; never raises.
    """
    try:
        text = "\n".join(_describe(value, max_chars))
    except BaseException as error:
        pass_interrupt(error)
        text = f"{brief(value)}\n(not described further: {type_name(type(error))})"
    return clip(escape(text), max_chars)


def _describe(value: Any, room: int) -> list[str]:
    base, kind = base_of(value), type(value)
    if base in (str, bytes, bytearray):
        return describe_text(value, base is str, room)
    if base in (bool, int, float, complex) or value is None:
        return [brief(value, room)]
    if base is dict and (paths := folder_paths(value)):
        return describe_folder(value, paths, room)
    if base is dict and _holds_frames(value):
        return describe_frames(value, room)
    if base is not None:
        return describe_container(value, base, room)
    if table := table_kind(value):
        return describe_frame(value, room) if table == "frame" else describe_array(value, room)
    if kind is types.FunctionType:
        return describe_function(value)
    if issubclass(kind, type):
        return describe_class(value, room)
    if is_view(value):
        return describe_view(value, room)
    if is_shown(kind):
        return [guarded_repr(value, room, keep_lines=True)]
    return describe_object(value, room)


def _holds_frames(value: Any) -> bool:
    """Whether a dict holds nothing but DataFrames, by its first."""
    items = first_items(value, 60)
    return bool(items) and all(table_kind(frame) == "frame" for _, frame in items)


def echo(value: object, max_chars: int = 2_500) -> str:
    """The value as a prompt shows it, whole where it fits, else its preview."""
    try:
        text = _echo(value, max_chars)
    except BaseException as error:
        pass_interrupt(error)
        text = None
    return preview(value, max_chars) if text is None else clip(escape(text), max_chars)


def _echo(value: Any, room: int) -> str | None:
    """The whole value as text, or None where it does not fit."""
    kind = type(value)
    if is_shown(kind):
        return str(value) if kind is Hit else repr(value)
    if table_kind(value):
        if int(value.size) > 1_000:
            return None
        text = str(value.to_string() if hasattr(value, "to_string") else repr(value))
        return text if len(text) <= room else None
    if base_of(value) is None and has_own_repr(kind):
        return guarded_repr(value, room, keep_lines=True)
    text = short(value, room)
    return None if "…" in text or "..." in text or len(text) > room else text
