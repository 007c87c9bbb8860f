"""Descriptions of values that are short, quick and total, whatever the value is.

`preview` answers what an agent needs to write its first line of code, `brief` fills one line.
Values belong to guest code and may be hostile: nothing here trusts `__class__`, `__len__`,
`__iter__`, `__getattr__` or `keys`. The type is `type(x)`, subclasses of builtin types are read
with the methods of the builtin, and the only user code that runs is `__repr__` of own classes,
guarded and cut. Everything large is sampled, and then the text says "about" or "sampled".

The renderer stands first, then one describer for each kind of value.
"""

import re
import sys
import types
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

__all__ = [
    "base_of", "brief", "clip", "echo", "escape", "length_of", "pass_interrupt", "preview",
    "short", "type_name",
]  # fmt: skip

_DEPTH = 5  # of containers in one line
_SAMPLE = 1_000  # items looked at for their types
_VISITS = 2_500  # values visited for a schema: about 30 ms in the guest
_WINDOW = 8_192  # characters of each of 48 windows of a long text
_COUNTED = 20_000_000  # characters up to which lines are counted: about 10 ms in the guest
_ENTRIES = 6_000  # of a folder looked at: about 30 ms in the guest
_REPR_FRAMES = 1_000  # guest code may have raised the limit beyond what its stack carries

_LENGTHS: dict[Any, Callable[[Any], int]] = {
    str: str.__len__,
    bytes: bytes.__len__,
    bytearray: bytearray.__len__,
    list: list.__len__,
    tuple: tuple.__len__,
    dict: dict.__len__,
    set: set.__len__,
    frozenset: frozenset.__len__,
    deque: deque.__len__,
}
_NUMBERS: tuple[type, ...] = (bool, int, float, complex)
_BASES: tuple[type, ...] = (*_LENGTHS, *_NUMBERS)
_PLAIN = frozenset(_BASES)
_UNITS: dict[Any, str] = {str: "chars", bytes: "bytes", bytearray: "bytes", dict: "keys"}
_BRACKETS: dict[Any, str] = {list: "[]", tuple: "()", deque: "[]"}  # others: {}

# Controls but newline and tab, lone surrogates, and what reorders or hides text. The joiners
# U+200C and U+200D stay: ordinary words of several languages contain them.
_RAW = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    "\ud800-\udfff\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
_NAME, _QUALNAME, _MRO, _DICT = (
    type.__dict__[name] for name in ("__name__", "__qualname__", "__mro__", "__dict__")
)


def escape(text: str) -> str:
    r"""Show control characters, lone surrogates and bidirectional marks as `\x..` escapes."""
    return _RAW.sub(lambda found: repr(found[0])[1:-1], text)


def clip(text: str, room: int) -> str:
    """Cut to `room` characters; a cut text ends in an ellipsis."""
    return text if len(text) <= room else text[: max(0, room - 1)] + "…"[:room]


def base_of(value: object) -> type | None:
    """The builtin type whose methods read this value, or None. Runs no user code."""
    kind = type(value)
    if type(kind) is type and kind in _PLAIN:  # a metaclass could define __hash__
        return kind
    return next((base for base in _BASES if issubclass(kind, base)), None)


def length_of(value: object) -> int | None:
    """The true length of a builtin container or text, None for anything else."""
    kind: Any = type(value)
    measure = _LENGTHS.get(kind) if type(kind) is type else None
    measure = measure or _LENGTHS.get(base_of(value))
    return measure(value) if measure else None


def type_name(kind: type) -> str:
    """The name of a class, not as its metaclass tells it."""
    return clip(escape(str(_NAME.__get__(kind))), 60)


def _inherited(kind: type, name: str) -> Any:
    """What the classes of `kind` define under `name`, without running a descriptor."""
    return next((d[name] for c in _MRO.__get__(kind) if name in (d := _DICT.__get__(c))), None)


def _is_dataclass(kind: type) -> bool:
    return type(_inherited(kind, "__dataclass_fields__")) is dict


def pass_interrupt(error: BaseException) -> None:
    """Raise again what the host stops code with; a guard that swallowed it would be endless.

    It is the one BaseException of this package, which `_execute` defines above this module.
    """
    module = _inherited(type(error), "__module__")
    if not isinstance(error, Exception) and str(module).startswith(__package__ or "rlm_guest"):
        raise error


def guarded_repr(value: object, room: int, keep_lines: bool = False) -> str:
    """`repr(value)`, by default on one line, or what it raised."""
    limit = sys.getrecursionlimit()
    try:
        sys.setrecursionlimit(min(limit, _REPR_FRAMES))
        text = escape(str.__getitem__(repr(value), slice(0, room + 1)))
        return clip(text if keep_lines else " ".join(text.split()), room)
    except BaseException as error:
        pass_interrupt(error)
        return f"<{type_name(type(value))}: its repr raised {type_name(type(error))}>"
    finally:
        sys.setrecursionlimit(limit)


def fields_of(value: object) -> list[tuple[str, Any]]:
    """The attributes stored in an instance, found without its `__getattr__` or properties."""
    kind = type(value)
    found: dict[str, Any] = {}
    for owner in _MRO.__get__(kind):
        for name, entry in list(islice(_DICT.__get__(owner).items(), 1_000)):
            if type(entry) is types.MemberDescriptorType and type(name) is str:
                try:
                    found[name] = entry.__get__(value)
                except BaseException as error:  # a slot without a value
                    pass_interrupt(error)
                    continue
            elif name == "__dict__" and type(entry) is types.GetSetDescriptorType:
                stored = entry.__get__(value)
                if type(stored) is dict:
                    found |= {k: v for k, v in islice(stored.items(), 200) if type(k) is str}
    return list(found.items())


def short(value: Any, room: int, depth: int = 0) -> str:
    """The value on one line of at most about `room` characters; a cut part shows `…` or `...`."""
    base, kind = base_of(value), type(value)
    if base is None:
        return _short_other(value, max(room, 8), depth)
    if base in (str, bytes, bytearray):
        text = _short_text(value, base, max(room, 4))
    elif base is int:
        bits = int.bit_length(value)
        digits = bits * 0.30103  # decimal digits in a binary one
        text = int.__repr__(value) if digits < 120 else f"<int of about {digits:,.0f} digits>"
    elif base is bool or base is float or base is complex:
        text = str(base.__repr__(value))
    else:
        text = _short_container(value, base, room, depth)
    return text if kind is base else f"{type_name(kind)}({text})"


def _short_text(value: Any, base: Any, room: int) -> str:
    size = _LENGTHS[base](value)
    cut = base.__getitem__(value, slice(0, room))
    text = repr(bytes(cut) if base is bytearray else cut)
    if size <= room and len(text) <= room + 2:
        return text
    return clip(text[:-1], room - 2).removesuffix("…") + "…" + text[-1]


def _short_container(value: Any, base: Any, room: int, depth: int) -> str:
    size = _LENGTHS[base](value)
    brackets = _BRACKETS.get(base, "{}")
    opening, closing = brackets[0], brackets[1]
    if not size:
        return f"{base.__name__}()" if base in (set, frozenset) else opening + closing
    if depth >= _DEPTH or room < 6:
        return f"{opening}…{closing}"
    parts: list[str] = []
    rest, share = room - 8, max(12, room // 2)
    # Collected before rendering: a repr may change the container.
    for item in _first(value, room // 3):
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


def _first(value: Any, count: int) -> list[Any]:
    """The first items of a builtin container (of a dict: pairs)."""
    base: Any = base_of(value)
    if base is list or base is tuple:
        return list(base.__getitem__(value, slice(0, count)))
    iterator = dict.items(value) if base is dict else base.__iter__(value)
    return list(islice(iterator, count))


def _short_other(value: Any, room: int, depth: int) -> str:
    kind = type(value)
    if issubclass(kind, type):
        return f"<class {clip(escape(str(_QUALNAME.__get__(value))), 80)}>"
    if kind is types.FunctionType:
        return clip(f"<function {_signature(value)}>", room)
    if issubclass(kind, types.ModuleType):
        return f"<module {escape(str(types.ModuleType.__getattribute__(value, '__name__')))}>"
    if label := _table_label(value):
        return f"<{label}>"
    if _inherited(kind, "__repr__") is object.__repr__ or _is_dataclass(kind):
        if depth >= _DEPTH:
            return f"{type_name(kind)}(…)"
        fields = fields_of(value)
        parts = [f"{k}={short(v, max(12, room // 3), depth + 1)}" for k, v in fields[: room // 8]]
        if len(parts) < len(fields):
            parts.append("...")
        text = f"{type_name(kind)}({', '.join(parts)})"
        return clip(text, room - 1) + ")" if len(text) > room else text
    return guarded_repr(value, room)


def _signature(function: types.FunctionType) -> str:
    code = function.__code__
    names = list(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount])
    return escape(f"{code.co_name}({', '.join(names)})")


def _table_label(value: object) -> str | None:
    """Type and size of a pandas or numpy object, or None; reads only, may run their code."""
    kind = type(value)
    try:
        if (pandas := sys.modules.get("pandas")) is not None:
            if issubclass(kind, pandas.DataFrame):
                rows, columns = value.shape  # type: ignore[attr-defined]
                return f"{type_name(kind)} {rows:,} rows x {columns:,} columns"
            if issubclass(kind, (pandas.Series, pandas.Index)):
                return f"{type_name(kind)} {len(value):,} items {value.dtype}"  # type: ignore
        if (numpy := sys.modules.get("numpy")) is not None and issubclass(kind, numpy.ndarray):
            return f"{type_name(kind)} {value.shape} {clip(str(value.dtype), 60)}"  # type: ignore
    except BaseException as error:
        pass_interrupt(error)
        return None
    return None


def label(value: object) -> str:
    """Type and size: `list 3,201 items`."""
    base: Any = base_of(value)
    if base in _LENGTHS:
        kind = type(value)
        name = type_name(kind) if kind is base else f"{type_name(kind)} ({base.__name__})"
        return f"{name} {_LENGTHS[base](value):,} {_UNITS.get(base, 'items')}"
    return _table_label(value) or type_name(type(value))


def brief(value: object, max_chars: int = 160) -> str:
    """One line: `list 3,201 items: ['a', 'b', ...]`, `str 18,203,112 chars: 'first…'`."""
    try:
        text = _brief(value, max_chars)
    except BaseException as error:
        pass_interrupt(error)
        text = f"{type_name(type(value))} (not described: {type_name(type(error))})"
    return clip(escape(text).replace("\n", "\\n").replace("\t", "\\t"), max_chars)


def _brief(value: Any, room: int) -> str:
    head = label(value)
    if base_of(value) in _LENGTHS:
        return f"{head}: {short(value, room - len(head) - 2)}" if length_of(value) else head
    if _table_label(value):
        if hasattr(value, "columns"):
            return f"{head}: {', '.join(short(c, 40) for c in value.columns[:20])}"
        return (
            f"{head}: {short(list(value[:20].tolist()), room - len(head) - 2)}"
            if (getattr(value, "ndim", 0) == 1)
            else head
        )
    text = short(value, room - 2)
    if text.startswith(("<", head + "(", "None")):
        return text
    return f"{head} {text}"


def echo(value: object, max_chars: int = 2_500) -> str:
    """The value as a prompt shows it, whole where it fits, else its preview."""
    try:
        text = _echo(value, max_chars)
    except BaseException as error:
        pass_interrupt(error)
        text = preview(value, max_chars)
    return clip(escape(text), max_chars)


def _echo(value: Any, room: int) -> str:
    kind, base = type(value), base_of(value)
    module = _inherited(kind, "__module__")
    if base is list and type(module) is str and module.startswith(__package__ or "rlm_guest"):
        return repr(value)  # Hits: a list that shows itself
    if _table_label(value):
        if int(value.size) <= 1_000:
            text = value.to_string() if hasattr(value, "to_string") else repr(value)
            if len(text) <= room:
                return str(text)
        return preview(value, room)
    default = _inherited(kind, "__repr__") is object.__repr__
    if base is None and not default and not _is_dataclass(kind):
        return guarded_repr(value, room, keep_lines=True)
    text = short(value, room)
    return preview(value, room) if "…" in text or "..." in text or len(text) > room else text


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
        return _text(value, base is str, room)
    if base in _NUMBERS or value is None:
        return [brief(value, room)]
    if base is dict and (paths := _folder_paths(value)):
        return _folder(value, paths, room)
    if base is not None:
        return _container(value, base, room)
    if _table_label(value):
        frame = hasattr(value, "columns") and hasattr(value, "iloc")
        return _frame(value, room) if frame else _array(value, room)
    if kind is types.FunctionType:
        code, doc = value.__code__, value.__doc__
        first = [doc.strip().split("\n")[0][:200]] if type(doc) is str and doc.strip() else []
        return [f"function {_signature(value)}, line {code.co_firstlineno}", *first]
    if issubclass(kind, type):
        own = [n for n in _DICT.__get__(value) if type(n) is str and not n.startswith("_")]
        bases = [type_name(c) for c in _MRO.__get__(value)[1:-1]]
        return [
            short(value, 100),
            f"bases: {', '.join(bases) or 'object'}",
            f"defines: {clip(', '.join(own), room // 2)}",
        ]
    return _object(value, kind, room)


# Text and bytes


def _text(value: Any, is_str: bool, room: int) -> list[str]:
    size = length_of(value) or 0
    if not size:
        return [f"{label(value)} (empty)"]
    facts = [label(value)]
    odd: list[str] = []

    def cut(begin: int, end: int) -> str:
        if is_str:
            return str.__getitem__(value, slice(begin, end))
        base = bytes if issubclass(type(value), bytes) else bytearray
        return bytes(base.__getitem__(value, slice(begin, end))).decode("utf-8", "replace")

    step = max(_WINDOW, size // 48)
    windows = [cut(at, at + _WINDOW) for at in range(0, size, step)]
    sampled = "".join(windows)
    whole = len(windows) * _WINDOW >= size
    binary = not is_str and ("\0" in sampled or sampled.count("�") * 20 > len(sampled))
    if not binary:
        breaks = sampled.count("\n")
        if whole or not is_str:
            breaks = round(breaks * size / max(1, len(sampled)))
        elif size <= _COUNTED:
            breaks, whole = str.count(value, "\n"), True
        else:
            breaks = round(breaks * size / len(sampled))
        about = "" if whole else "about "
        count = breaks + (0 if cut(size - 1, size) == "\n" else 1)
        facts.append(f"{about}{count:,} line{'' if count == 1 else 's'}")
        wide = 0.0  # share of characters that are about a token each
        if not sampled.isascii():
            wide = len(re.findall(r"[\u2e80-\U0010ffff]", sampled)) / len(sampled)
        facts.append(f"~{round(size * (wide + (1 - wide) / 4)):,} tokens")
        odd = _odd_text(sampled, windows, breaks, size)
    out = [", ".join(facts)]
    if kind := _looks_like(cut(0, 400), cut(size - 20, size)):
        out.append(f"looks like {kind}")
    if odd:
        out.append("odd: " + "; ".join(odd))
    if binary:
        pieces = [short(value, min(400, room // 2))]
        return [*out, *pieces]
    left = max(40, room - sum(map(len, out)) - 60)
    if size <= left:
        return [*out, "--- all of it:", cut(0, size)]
    head, tail = escape(cut(0, left * 2 // 3)), escape(cut(size - left // 3, size))
    head, tail = head[: left * 2 // 3], tail[-(left // 3) :]
    return [*out, f"--- first {len(head):,} chars:", head, f"--- last {len(tail):,} chars:", tail]


def _odd_text(sampled: str, windows: list[str], breaks: int, size: int) -> list[str]:
    odd = []
    rows = [row for window in windows for row in window.split("\n")]
    longest = max(map(len, rows))
    if breaks and longest > 2_000:
        more = "or more " if longest >= _WINDOW else ""
        odd.append(f"long lines ({longest:,} chars {more}in the sample)")
    elif not breaks and size > 2_000:
        odd.append("a single line")
    for found, name in (
        (not sampled.strip(), "only white space"),
        ("\0" in sampled, "NUL characters"),
        ("\r\n" in sampled, "lines end in \\r\\n"),
        ("�" in sampled, "U+FFFD: decoded with the wrong encoding?"),
        (sampled.startswith("\ufeff"), "begins with a byte-order mark"),
        (not sampled.isascii() and bool(re.search("[\ud800-\udfff]", sampled)), "lone surrogates"),
        (bool(re.search("[\x01-\x08\x0e-\x1f\x7f]", sampled)), "control characters"),
    ):
        if found:
            odd.append(name)
    return odd


_MAGIC = {
    "%PDF": "PDF",
    "PK\x03\x04": "zip (docx, xlsx, epub, ...)",
    "\x1f": "gzip",
    "SQLite f": "SQLite",
    "PAR1": "Parquet",
    "GIF8": "GIF",
    "From ": "mbox",
}


def _looks_like(head: str, tail: str) -> str:
    start, end = head.lstrip(" \t\r\n\ufeff"), tail.rstrip()
    for magic, name in _MAGIC.items():
        if head.startswith(magic):
            return name
    if "PNG\r\n" in head[:8]:
        return "PNG"
    if start[:1] == "{" and end[-1:] == "}" and "}\n{" in head.replace("\r", ""):
        return "JSON Lines"
    if (start[:1], end[-1:]) in (("{", "}"), ("[", "]")) and re.match(
        r'[{\[]\s*["{\[\d\]}tfn-]', start
    ):
        return "JSON: json.loads reads it"
    if re.match(r"<!doctype html|<html", start, re.IGNORECASE):
        return "HTML"
    return "XML" if start.startswith("<?xml") else ""


# Containers and nested data


class _Shape:
    """What the values at one place of nested data have in common."""

    def __init__(self) -> None:
        self.count = 0
        self.types: dict[str, int] = {}
        self.keys: dict[str, _Shape] = {}
        self.each: _Shape | None = None
        self.low: Any = None
        self.high: Any = None
        self.unit: str | None = None  # of low and high; None is none yet, "?" several
        self.example = ""
        self.empty = 0

    def add(self, value: Any, left: list[int], depth: int = 0) -> None:
        self.count += 1
        left[0] -= 1
        base, kind = base_of(value), type(value)
        name = "None" if value is None else type_name(kind)
        self.types[name] = self.types.get(name, 0) + 1
        number = kind is int or (kind is float and value == value)
        measure = value if number else length_of(value)
        if measure is not None:
            unit = "" if number else " " + _UNITS.get(base, "items")
            self.unit = unit if self.unit in (None, unit) else "?"
            self.low = measure if self.low is None else min(self.low, measure)
            self.high = measure if self.high is None else max(self.high, measure)
        self.empty += length_of(value) == 0
        if base in (str, bytes, bool) and not self.example and length_of(value) != 0:
            self.example = short(value, 40)
        if depth >= 6 or left[0] <= -_VISITS or base not in (dict, list, tuple, set, deque):
            return
        items = _first(value, 60 if base is dict else 5)
        for item in items:
            if base is dict and type(item[0]) is str and dict.__len__(value) < 60:
                place = self.keys.setdefault(item[0], _Shape())
                place.add(item[1], left, depth + 1)
            else:
                self.each = self.each or _Shape()
                self.each.add(item[1] if base is dict else item, left, depth + 1)

    def line(self) -> str:
        kinds = sorted(self.types, key=lambda name: -self.types[name])
        shares = [f"{name} {self.types[name] * 100 / self.count:.0f} %" for name in kinds[:5]]
        text = kinds[0] if len(kinds) == 1 else " | ".join(shares)
        if self.unit not in (None, "?"):
            low, high = short(self.low, 20), short(self.high, 20)
            text += f" {low if low == high else f'{low}..{high}'}{self.unit}"
        text += f", {self.empty * 100 // self.count} % empty" if self.empty else ""
        return text + (f", e.g. {self.example}" if self.example else "")

    def lines(self, indent: int = 1) -> Iterator[str]:
        pad = "  " * indent
        dicts = max(1, self.count - sum(n for t, n in self.types.items() if t in ("None", "list")))
        for key, place in list(self.keys.items())[:40]:
            often = f" (in {place.count * 100 // dicts} %)" if place.count < dicts else ""
            yield f"{pad}{short(key, 60)}{often}: {place.line()}"
            yield from place.lines(indent + 1)
        if len(self.keys) > 40:
            yield f"{pad}... {len(self.keys) - 40:,} more keys"
        if self.each:
            yield f"{pad}each: {self.each.line()}"
            yield from self.each.lines(indent + 1)


def _positions(size: int, count: int) -> list[int]:
    """Up to `count` positions from everywhere, unevenly: an even step hides what is periodic."""
    if size <= count:
        return list(range(size))
    step = size // count
    return [i * step + (i * 2_654_435_761 >> 8) % step for i in range(count)]


def _spread(value: Any, base: Any, count: int) -> list[Any]:
    """Items from everywhere in a sequence, from both ends of a dict, from the front of a set."""
    size = _LENGTHS[base](value)
    if base is list or base is tuple:
        return [base.__getitem__(value, i) for i in _positions(size, count)]
    if base is dict and size > count:
        back = islice(dict.__reversed__(value), count // 2)
        return [*_first(value, count - count // 2), *[(k, dict.get(value, k)) for k in back]]
    return _first(value, count)


def _container(value: Any, base: type, room: int) -> list[str]:
    size = _LENGTHS[base](value)
    out = [label(value)]
    if not size:
        return [f"{out[0]} (empty)"]
    items = _spread(value, base, _SAMPLE)
    part = "" if len(items) >= size else f" (of {len(items):,} sampled)"
    shape = _Shape()
    left = [_VISITS]
    if base is dict:
        keys = _Shape()
        for key, _ in items:
            keys.add(key, left, 9)
        out.append(f"keys: {keys.line()}{part}")
        if size < 60:
            shape.add(value, left)
        else:
            shape.each = _Shape()
            _add_spread(shape.each, [item for _, item in items], left)
            out.append(f"values: {shape.each.line()}{part}")
            shape = shape.each
    else:
        kinds = _Shape()
        for item in items:
            kinds.add(item, left, 9)
        out.append(f"items: {kinds.line()}{part}")
        _add_spread(shape, items, left := [_VISITS])
    if shape.keys or shape.each:
        looked = f" ({shape.count:,} sampled)" if 1 < shape.count < size else ""
        out.append(f"schema{looked}:")
        out += _fit(shape.lines(), room * 55 // 100)
    left_room = room - sum(len(row) + 1 for row in out)
    return out + _ends(value, base, size, left_room)


def _add_spread(shape: _Shape, items: list[Any], left: list[int]) -> None:
    """Add items to a shape in an order that covers the whole range when the budget ends early."""
    stride = max(1, len(items) // 25)
    for first in range(stride):
        for item in items[first::stride]:
            if left[0] <= 0:
                return
            shape.add(item, left)


def _fit(rows: Iterable[str], room: int) -> list[str]:
    out: list[str] = []
    for row in rows:
        room -= len(row) + 1
        if room < 0:
            return [*out, "  ..."]
        out.append(row)
    return out


def _ends(value: Any, base: Any, size: int, room: int) -> list[str]:
    """The first items one by one and, where there is an order, the last."""
    each = max(60, min(400, room // 4))
    if base is dict:
        pairs = _first(value, 6)
        rows = [f"[{short(k, 60)}] = {short(v, each)}" for k, v in pairs]
    else:
        rows = [f"[{i}] {short(item, each)}" for i, item in enumerate(_first(value, 6))]
    tail: list[str] = []
    if size > len(rows) and base in (list, tuple, deque):
        tail = [f"[-1] {short(base.__getitem__(value, -1), each)}"]
    return _fit(rows, room - sum(map(len, tail)) - 8) + tail


# Folders: dicts of path to text

_LANGUAGES = {
    "py": "Python", "js": "JavaScript", "jsx": "JavaScript", "ts": "TypeScript",
    "tsx": "TypeScript", "rs": "Rust", "go": "Go", "java": "Java", "c": "C", "h": "C",
    "cc": "C++", "cpp": "C++", "hpp": "C++", "cs": "C#", "rb": "Ruby", "php": "PHP",
    "swift": "Swift", "kt": "Kotlin", "scala": "Scala", "sh": "Shell", "sql": "SQL",
    "html": "HTML", "css": "CSS", "md": "Markdown", "rst": "reST", "json": "JSON", "yaml": "YAML",
    "yml": "YAML", "toml": "TOML", "xml": "XML",
}  # fmt: skip


def _folder_paths(value: Any) -> list[tuple[str, int]] | None:
    """Paths and sizes, if this looks like a dict of path to text (first entries only)."""
    sample = _first(value, 50)
    texts = all(type(k) is str and base_of(v) in (str, bytes) for k, v in sample)
    named = sum(bool(re.search(r"[\w-]/[\w.-]|\w\.\w{1,5}$", k[:300])) for k, _ in sample if texts)
    if not texts or named * 2 <= len(sample) or any("\n" in k or " " in k[:2] for k, _ in sample):
        return None
    # Stepping over 1,000,000 entries takes about 30 ms in the guest.
    step = -(-min(dict.__len__(value), 1_000_000) // _ENTRIES)
    entries = islice(dict.items(value), 0, 1_000_000, step)
    return [(k, length_of(v) or 0) for k, v in entries if type(k) is str]


def _folder(value: Any, paths: list[tuple[str, int]], room: int) -> list[str]:
    count = dict.__len__(value)
    seen = sum(size for _, size in paths)
    part = "" if len(paths) == count else f" in {len(paths):,} sampled"
    about = ""
    if part:
        seen, about = seen * count // max(1, len(paths)), "about "
    out = [
        f"{label(value)}: a folder, path -> text, {count:,} files, "
        f"{about}{seen:,} chars, ~{seen // 4:,} tokens"
    ]
    kinds: dict[str, list[int]] = {}
    tree: dict[str, list[int]] = {}
    prefix = _common_folder([path for path, _ in paths])
    for path, size in paths:
        name = path.rsplit("/", 1)[-1]
        ext = name.rsplit(".", 1)[-1].lower() if "." in name[1:] else "(none)"
        top, slash, _ = path[len(prefix) :].partition("/")
        for table, key in ((kinds, ext), (tree, top + slash if slash else "(files here)")):
            entry = table.setdefault(key, [0, 0])
            entry[0] += 1
            entry[1] += size
    ranked = sorted(kinds.items(), key=lambda item: -item[1][1])
    names = [f"{_LANGUAGES.get(e, '.' + e)} {n:,} files {size:,} chars" for e, (n, size) in ranked]
    out.append(f"languages{part}: " + clip("; ".join(names[:8]), room // 4))
    rows = sorted(tree.items(), key=lambda item: -item[1][1])
    out.append(f"tree of {short(prefix, 200) if prefix else 'the top'}{part}:")
    shown = (f"  {clip(k, 80)}  {n:,} files  {size:,} chars" for k, (n, size) in rows)
    out += _fit(shown, room // 3)
    largest = sorted(paths, key=lambda item: -item[1])[:4]
    out.append("largest: " + ", ".join(f"{short(p, 80)} {size:,}" for p, size in largest))
    if empty := [path for path, size in paths if not size]:
        out.append(f"odd: {len(empty):,} empty, e.g. {short(empty[0], 80)}")
    out += _ends(value, dict, count, min(700, room - sum(len(row) + 1 for row in out)))
    return out


def _common_folder(paths: list[str]) -> str:
    low, high = min(paths), max(paths)
    same = next((i for i, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), 0)
    return low[: low.rfind("/", 0, same) + 1] if same else ""


# Tables, arrays and objects


def _frame(frame: Any, room: int) -> list[str]:
    rows, width = frame.shape
    out = [f"{label(frame)}, index {type_name(type(frame.index))}"]
    sample = frame.iloc[_positions(rows, _SAMPLE)]
    part = f" ({len(sample):,} rows sampled)" if len(sample) < rows else ""
    out.append(f"columns{part}:")
    columns = (_column(sample.columns[i], sample.iloc[:, i]) for i in range(min(width, 40)))
    out += _fit(columns, room * 6 // 10)
    if width > 40:
        out.append(f"  ... {width - 40:,} more columns")
    if rows:
        left = (room - sum(len(row) + 1 for row in out)) // 2
        for name, piece in (("head", frame.iloc[:3]), ("tail", frame.iloc[-2:])):
            shown = piece.iloc[:, :12].to_string(max_colwidth=30)
            out.append(f"{name}:\n{clip(shown, max(80, left))}")
            if rows <= 3:
                break
    return out


def _column(name: Any, column: Any) -> str:
    text = f"  {short(name, 40)} {clip(str(column.dtype), 30)}"
    count = len(column)
    if not count:
        return text
    missing = int(column.isna().sum())
    if column.dtype.kind in "iufmM":
        if missing < count:
            text += f" {_number(column.min())}..{_number(column.max())}"
    else:
        values = [v for v in column.to_numpy()[:300].tolist() if v is not None and v == v]
        text += _values_note(values)
    return text + (f", {missing * 100 / count:.0f} % missing" if missing else "")


def _number(value: Any) -> str:
    """A number or time of a table, floats to six digits."""
    return f"{float(value):.6g}" if "float" in type_name(type(value)) else str(value)


def _values_note(values: list[Any]) -> str:
    kinds = sorted({type_name(type(v)) for v in values})
    text = f" mixed types {', '.join(kinds[:4])}" if len(kinds) > 1 else ""
    distinct: dict[str, None] = dict.fromkeys(short(v, 30) for v in values)
    return f"{text} {len(distinct)} unique of {len(values)}: {', '.join(list(distinct)[:3])}"


def _array(array: Any, room: int) -> list[str]:
    out = [label(array)]
    rows = len(array) if array.ndim else 1
    step = max(1, rows // 20_000, array.size // 200_000)
    sample = (array.iloc if hasattr(array, "iloc") else array)[::step] if step > 1 else array
    part = " (sampled)" if step > 1 else ""
    if array.size and array.dtype.kind in "iufb":
        out[0] += f", min {_number(sample.min())}, max {_number(sample.max())}{part}"
        if (bad := int((sample != sample).sum())) > 0:
            out.append(f"odd: {bad:,} NaN{part}")
    elif hasattr(array, "isna"):
        out.append(_column(array.name, sample) + part)
    piece = array[:6] if array.ndim else array
    piece = piece[(slice(0, 3),) * piece.ndim] if piece.ndim > 2 else piece
    return [*out, f"head: {clip(str(piece), room // 2)}"]


def _object(value: Any, kind: type, room: int) -> list[str]:
    note = " (dataclass)" if _is_dataclass(kind) else ""
    module = _inherited(kind, "__module__")
    where = f" of {clip(module, 60)}" if type(module) is str else ""
    out = [f"{type_name(kind)}{note}{where}"]
    fields = fields_of(value)
    if fields:
        out.append("fields:")
        out += _fit((f"  {clip(k, 60)}: {brief(v, 120)}" for k, v in fields[:60]), room * 6 // 10)
    methods = [
        name
        for owner in _MRO.__get__(kind)[:-1]
        for name in islice(_DICT.__get__(owner), 60)
        if type(name) is str and not name.startswith("_") and name not in dict(fields)
    ]
    if methods:
        out.append(f"has: {clip(', '.join(dict.fromkeys(methods)), room // 4)}")
    if _inherited(kind, "__repr__") is not object.__repr__ and not note:
        out.append(f"repr: {guarded_repr(value, room // 3)}")
    return out
