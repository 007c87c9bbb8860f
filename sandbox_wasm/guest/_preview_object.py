"""The preview of functions, classes and instances of own classes."""

from types import FunctionType
from typing import Any

from ._fit import clip, fit
from ._guard import guarded_repr
from ._kinds import (
    classes_of,
    defined_in,
    fields_of,
    has_own_repr,
    inherited,
    is_dataclass,
    type_name,
)
from ._render import brief, short, signature


def describe_function(function: FunctionType) -> list[str]:
    """Parameters, line, and the first line of the docstring."""
    doc = function.__doc__
    first = [doc.strip().split("\n")[0][:200]] if type(doc) is str and doc.strip() else []
    return [f"function {signature(function)}, line {function.__code__.co_firstlineno}", *first]


def describe_class(kind: type, room: int) -> list[str]:
    """What the class derives from and what it defines."""
    bases = [type_name(base) for base in classes_of(kind)[1:-1]]
    return [
        short(kind, 100),
        f"bases: {', '.join(bases) or 'object'}",
        f"defines: {clip(', '.join(_public(kind, 1_000)), room // 2)}",
    ]


def describe_object(value: Any, room: int) -> list[str]:
    """Class, fields with their values, other public names, and its own repr."""
    kind = type(value)
    note = " (dataclass)" if is_dataclass(kind) else ""
    module = inherited(kind, "__module__")
    where = f" of {clip(module, 60)}" if type(module) is str else ""
    out = [f"{type_name(kind)}{note}{where}"]
    fields = fields_of(value)
    if fields:
        out.append("fields:")
        out += fit((f"  {clip(k, 60)}: {brief(v, 120)}" for k, v in fields[:60]), room * 6 // 10)
    known = dict(fields)
    names = [name for owner in classes_of(kind)[:-1] for name in _public(owner, 60)]
    if methods := dict.fromkeys(name for name in names if name not in known):
        out.append(f"has: {clip(', '.join(methods), room // 4)}")
    if has_own_repr(kind):
        out.append(f"repr: {guarded_repr(value, room // 3)}")
    return out


def _public(kind: type, most: int) -> list[str]:
    return [name for name, _ in defined_in(kind, most) if not name.startswith("_")]
