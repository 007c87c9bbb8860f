"""What a value is and holds, found without running its code.

Values belong to guest code and may be hostile: nothing here trusts `__class__`, `__len__`,
`__iter__`, `__getattr__` or `keys`. The type is `type(x)`, and subclasses of builtin types are
read with the methods of the builtin.
"""

import sys
import types
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Any

from ._fit import clip, escape

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
_BASES: tuple[type, ...] = (*_LENGTHS, bool, int, float, complex)
_PLAIN = frozenset(_BASES)
_TABLES = (
    ("pandas", "DataFrame", "frame"),
    ("pandas", "Series", "series"),
    ("pandas", "Index", "series"),
    ("numpy", "ndarray", "array"),
)
_PACKAGE = __name__.rpartition(".")[0] + "."
_NAME, _QUALNAME, _MRO, _DICT = (
    type.__dict__[name] for name in ("__name__", "__qualname__", "__mro__", "__dict__")
)


def base_of(value: object) -> type | None:
    """The builtin type whose methods read this value, or None."""
    kind = type(value)
    if type(kind) is type and kind in _PLAIN:  # a metaclass could define __hash__
        return kind
    if value is None:
        return None
    return next((base for base in _BASES if issubclass(kind, base)), None)


def length_of(value: object) -> int | None:
    """The true length of a builtin container or text, None for anything else."""
    kind: Any = type(value)
    measure = _LENGTHS.get(kind) if type(kind) is type else None
    measure = measure or _LENGTHS.get(base_of(value))
    return measure(value) if measure else None


def table_kind(value: object) -> str | None:
    """`frame`, `series` (an index is one) or `array` for those of pandas and numpy, else None."""
    kind = type(value)
    for library, name, found in _TABLES:
        owner = getattr(sys.modules.get(library), name, None)
        if type(owner) is type and issubclass(kind, owner):
            return found
    return None


def type_name(kind: type) -> str:
    """The name of a class, not as its metaclass tells it."""
    if type(kind) is type and kind in _PLAIN:  # thousands of them for one preview
        return kind.__name__
    return clip(escape(str(_NAME.__get__(kind))), 60)


def qualified_name(kind: type) -> str:
    """The name of a class with the classes and functions it is defined in."""
    return clip(escape(str(_QUALNAME.__get__(kind))), 80)


def classes_of(kind: type) -> tuple[type, ...]:
    """The class and what it inherits from, in the order of look-up."""
    return tuple(_MRO.__get__(kind))


def defined_in(kind: type, most: int) -> list[tuple[str, Any]]:
    """The first `most` names that a class itself defines, and what is stored under them."""
    entries = islice(_DICT.__get__(kind).items(), most)
    return [(name, entry) for name, entry in entries if type(name) is str]


def inherited(kind: type, name: str) -> Any:
    """What the classes of `kind` define under `name`, without running a descriptor."""
    return next((d[name] for c in classes_of(kind) if name in (d := _DICT.__get__(c))), None)


def is_dataclass(kind: type) -> bool:
    """Whether this class, or one it derives from, is a dataclass."""
    return type(inherited(kind, "__dataclass_fields__")) is dict


def has_own_repr(kind: type) -> bool:
    """Whether it takes user code to show an instance. What a dataclass shows are its fields."""
    return inherited(kind, "__repr__") is not object.__repr__ and not is_dataclass(kind)


def fields_of(value: object) -> list[tuple[str, Any]]:
    """The attributes stored in an instance, found without its `__getattr__` or properties.

    Those of a dataclass are in the order of its definition.
    """
    kind = type(value)
    found: dict[str, Any] = {}
    for owner in classes_of(kind):
        for name, entry in defined_in(owner, 1_000):
            if type(entry) is types.MemberDescriptorType:
                try:
                    found[name] = entry.__get__(value)
                except AttributeError:  # a slot without a value
                    continue
            elif name == "__dict__" and type(entry) is types.GetSetDescriptorType:
                stored = entry.__get__(value)
                if type(stored) is dict:
                    found |= {k: v for k, v in islice(stored.items(), 200) if type(k) is str}
    if is_dataclass(kind):  # the descriptors of slots are in the order of the alphabet
        declared = list(inherited(kind, "__dataclass_fields__"))[:1_000]
        first = [name for name in declared if type(name) is str and name in found]
        found = {name: found[name] for name in [*first, *found]}
    return list(found.items())


def first_items(value: Any, count: int) -> list[Any]:
    """The first items of a builtin container (of a dict: pairs)."""
    base: Any = base_of(value)
    if base is list or base is tuple:
        return list(base.__getitem__(value, slice(0, count)))
    iterator = dict.items(value) if base is dict else base.__iter__(value)
    return list(islice(iterator, count))


def is_own(value: object) -> bool:
    """Whether a value is one of this package's own functions and classes."""
    if type(value) is not types.FunctionType and type(value) is not type:
        return False
    module = value.__module__
    return type(module) is str and module.startswith(_PACKAGE)
