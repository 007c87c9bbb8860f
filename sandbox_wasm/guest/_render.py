"""Any value on one line: `short` fills a given room, `brief` also names type and size.

Both are total and quick, whatever the value is. The only user code that runs is `__repr__` of
own classes, guarded and cut.
"""

import types
from collections import deque
from typing import Any

from ._fit import clip, escape, one_line
from ._guard import guarded_repr, pass_interrupt
from ._hits import Hit, is_shown, row_of
from ._kinds import (
    base_of,
    fields_of,
    first_items,
    has_own_repr,
    length_of,
    qualified_name,
    table_kind,
    type_name,
)
from ._label import label, table_label

_DEPTH = 5  # of containers in one line
_BRACKETS: dict[Any, tuple[str, str]] = {
    list: ("[", "]"),
    deque: ("[", "]"),
    tuple: ("(", ")"),
}  # others: {}


def brief(value: object, max_chars: int = 160) -> str:
    """One line: `list 3,201 items: ['a', 'b', ...]`, `str 18,203,112 chars: 'first…'`."""
    try:
        text = _brief(value, max_chars)
    except BaseException as error:
        pass_interrupt(error)
        text = f"{type_name(type(value))} (not described: {type_name(type(error))})"
    return clip(one_line(text), max_chars)


def _brief(value: Any, room: int) -> str:
    head, size = label(value), length_of(value)
    left = room - len(head) - 2
    if size is not None:
        return f"{head}: {_short_builtin(value, base_of(value), left, 0)}" if size else head
    if kind := table_kind(value):
        if kind == "frame":
            return f"{head}: {', '.join(short(c, 40) for c in value.columns[:20])}"
        return f"{head}: {short(value[:20].tolist(), left)}" if value.ndim == 1 else head
    text = short(value, room - 2)
    return text if text.startswith(("<", head + "(", "None")) else f"{head} {text}"


def short(value: Any, room: int, depth: int = 0) -> str:
    """The value on one line of at most about `room` characters; a cut part shows `…` or `...`."""
    base, kind = base_of(value), type(value)
    if base is None:
        return _short_other(value, max(room, 8), depth)
    text = _short_builtin(value, base, room, depth)
    return text if kind is base else f"{type_name(kind)}({text})"


def _short_builtin(value: Any, base: Any, room: int, depth: int) -> str:
    if base in (str, bytes, bytearray):
        return _short_text(value, base, max(room, 4))
    if base is int:
        digits = int.bit_length(value) * 0.30103  # decimal digits in a binary one
        return int.__repr__(value) if digits < 120 else f"<int of about {digits:,.0f} digits>"
    if base in (bool, float, complex):
        return str(base.__repr__(value))
    return _short_container(value, base, room, depth)


def _short_text(value: Any, base: Any, room: int) -> str:
    cut = base.__getitem__(value, slice(0, room))
    text = repr(bytes(cut) if base is bytearray else cut)
    if base.__len__(value) <= room and len(text) <= room + 2:
        return text
    return clip(text[:-1], room - 2).removesuffix("…") + "…" + text[-1]


def _short_container(value: Any, base: Any, room: int, depth: int) -> str:
    size = base.__len__(value)
    opening, closing = _BRACKETS.get(base, ("{", "}"))
    if not size:
        return f"{base.__name__}()" if base in (set, frozenset) else opening + closing
    if depth >= _DEPTH or room < 6:
        return f"{opening}…{closing}"
    parts: list[str] = []
    rest, share = room - 8, max(12, room // 2)
    # Collected before rendering: a repr may change the container.
    for item in first_items(value, room // 3):
        if base is dict:
            key = short(item[0], min(share, 60), depth + 1)
            part = f"{key}: {short(item[1], min(share, rest) - len(key) // 2, depth + 1)}"
        else:
            part = short(item, min(share, rest) if size > 1 else rest, depth + 1)
        if parts and len(part) > rest:
            break
        parts.append(part)
        rest -= len(part) + 2
        if rest <= 0:
            break
    if len(parts) < size:
        parts.append("...")
    comma = "," if base is tuple and size == 1 else ""
    return opening + ", ".join(parts) + comma + closing


def _short_other(value: Any, room: int, depth: int) -> str:
    kind = type(value)
    if kind is Hit:
        return guarded_repr(value, room, show=row_of)
    if issubclass(kind, type):
        return f"<class {qualified_name(value)}>"
    if kind is types.FunctionType:
        return clip(f"<function {signature(value)}>", room)
    if issubclass(kind, types.ModuleType):
        return f"<module {escape(str(types.ModuleType.__getattribute__(value, '__name__')))}>"
    if table := table_label(value):
        return f"<{table}>"
    if has_own_repr(kind) or is_shown(kind):
        return guarded_repr(value, room)
    if depth >= _DEPTH:
        return f"{type_name(kind)}(…)"
    fields = fields_of(value)
    parts = [f"{k}={short(v, max(12, room // 3), depth + 1)}" for k, v in fields[: room // 8]]
    if len(parts) < len(fields):
        parts.append("...")
    text = f"{type_name(kind)}({', '.join(parts)})"
    return clip(text, room - 1) + ")" if len(text) > room else text


_STAR, _STARS = 0x04, 0x08  # in `co_flags`: takes `*args`, takes `**kwargs`


def signature(function: types.FunctionType) -> str:
    """The name of a function and its parameters."""
    code = function.__code__
    names, count = code.co_varnames, code.co_argcount
    stars = count + code.co_kwonlyargcount  # the names of these come after all others
    shown = list(names[:count])
    if code.co_flags & _STAR:
        shown.append(f"*{names[stars]}")
        stars += 1
    elif code.co_kwonlyargcount:
        shown.append("*")
    shown += names[count : count + code.co_kwonlyargcount]
    if code.co_flags & _STARS:
        shown.append(f"**{names[stars]}")
    return escape(f"{code.co_name}({', '.join(shown)})")
