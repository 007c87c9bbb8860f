"""What is to be searched in a target: its texts and their keys, touched as little as can be."""

from dataclasses import dataclass
from importlib import import_module
from typing import Any

from . import _addresses
from ._chunk import Chunk
from ._kinds import base_of, table_kind, type_name
from ._lines import as_text, is_text, plain
from ._render import short
from ._view import FileView, is_view

np: Any = import_module("numpy")

Array = Any  # numpy.ndarray

_DEEP = 20
"""Levels of a value whose text is searched (a guess: those of a Kubernetes object are below 15)."""
_VALUES = 500_000
"""That are looked at in a value: those that hold others many times over are without end."""
_UNKNOWN = -1  # the hash of a text that nobody has asked for
_TEXTS: tuple[type, ...] = (str, Chunk)


@dataclass(slots=True)
class Contents:
    """The values of a target in their order.

    Args:
        values: as they are, in a list or a dict.
        keys: of the dict.
        places: the addresses of these, if they are known.
        prints: fingerprints of the values, if all of them are plain texts.
        views: whether there are views among them.
        flat: the text in each, where they are not all plain texts.
    """

    values: Any
    keys: list[Any] | None = None
    places: Array | None = None
    prints: Array | None = None
    views: bool = False
    flat: list[str] | None = None

    def text(self, number: int) -> str:
        """The text of one of the values."""
        return self.value(number) if self.flat is None else self.flat[number]

    def value(self, number: int) -> Any:
        """One of the values."""
        if self.keys is None:
            return list.__getitem__(self.values, number)
        return dict.__getitem__(self.values, self.keys[number])

    def all(self) -> list[Any]:
        """All of the values."""
        if self.keys is None:
            return list(list.__iter__(self.values))
        return list(dict.values(self.values))


def contents_of(
    target: Any,
    keys: list[Any] | None = None,
    places: Array | None = None,
    seen: Array | None = None,
) -> Contents:
    """Take a target apart.

    Args:
        target: of any kind that `search` takes.
        keys: that it had when it was looked at before.
        places: the addresses of these.
        seen: the fingerprints that it had, if its values were plain texts.

    Raises:
        TypeError: it is of no such kind.
    """
    base: Any = base_of(target)
    if base is dict:
        found = _addresses.of_dict(target)
        if found is None:
            made = Contents(target, list(dict.keys(target)))
            values = made.all()  # is where the addresses lie
            return _looked_at(made, _addresses.of_list(values), seen)
        same = keys is not None and places is not None and np.array_equal(found[0], places)
        made = Contents(target, keys if same else list(dict.keys(target)), found[0])
        return _looked_at(made, found[1], seen)
    made = Contents(_listed(target, base))
    return _looked_at(made, _addresses.of_list(made.values), seen)


def _listed(target: Any, base: Any) -> list[Any]:
    """The values of a target that is no dict."""
    if base is list:
        return target  # type: ignore[no-any-return]
    if is_text(target):
        return [as_text(plain(target))]
    if is_view(target):
        return [target]
    if base is tuple:
        return list(tuple.__iter__(target))
    kind = table_kind(target)
    if kind == "frame":
        return _rows(target)
    if kind == "series" and target.ndim == 1:
        return list(target.tolist())
    raise TypeError(
        "search wants a str, a list of str or dicts, a dict of path to str, a view or a DataFrame, "
        f"not {type_name(type(target))}"
    )


def _rows(frame: Any) -> list[str]:
    """The text in each row of a DataFrame."""
    columns = [frame.iloc[:, i] for i in range(frame.shape[1])]
    cells = [c.astype(str).tolist() for c in columns if c.dtype.kind not in "fc"]
    return [" | ".join(row) for row in zip(*cells, strict=True)]


def _looked_at(made: Contents, found: Array | None, seen: Array | None) -> Contents:
    """The same with what is told by the values' addresses, or by the values."""
    if found is None:
        kinds: set[Any] = set(map(type, made.all()))
        texts: set[Any] = set(_TEXTS)
        made.views = FileView in kinds
    else:
        texts = set(map(id, _TEXTS))
        if seen is not None and _addresses.have_prints(found, seen, texts):
            made.prints = seen
            return made
        prints, kinds = _addresses.prints_of(found), _addresses.kinds_of(found)
        made.views = id(FileView) in kinds
    if not kinds <= texts:
        return made
    if found is not None and not bool((prints >> 32 == _UNKNOWN).any()):
        made.prints = prints
        return made
    made.prints = prints_of(made.all())
    return made


def prints_of(texts: list[str]) -> Array:
    """A number for each text that differs when the text does, but for one case in 2**32.

    Python keeps the hash of a text in the text, so asking again reads nothing.
    """
    hashes = np.fromiter(map(hash, texts), np.int64, len(texts))
    return hashes << 32 | np.fromiter(map(len, texts), np.int64, len(texts))


def _field(key: Any, text: str) -> str:
    """A field of a record with what it is called, which those who look for it may know alone."""
    name = key if type(key) is str else short(key, 200)
    return f"{name}:\n{text}" if "\n" in text else f"{name}: {text}"


def flat(value: Any) -> str:
    """The text in a value, such as that in the fields of a record; of a view none.

    A table, such as a sheet of a workbook, has a line for each row.
    """
    return _flat(value, _DEEP, [_VALUES])


def _flat(value: Any, deep: int, left: list[int]) -> str:
    left[0] -= 1
    if value is None or is_view(value) or left[0] < 0:
        return ""
    if is_text(value):
        return as_text(plain(value))
    base: Any = base_of(value)
    deep -= 1
    if deep and base is dict:
        items = dict.items(value)
        return "\n".join([_field(key, _flat(item, deep, left)) for key, item in items])
    if deep and base in (list, tuple, set, frozenset):
        return "\n".join([_flat(item, deep, left) for item in base.__iter__(value)])
    kind = table_kind(value) if base is None else None
    if kind == "frame":
        return "\n".join([row.replace("\n", " ") for row in _rows(value)])
    if deep and kind == "series" and value.ndim == 1:
        return "\n".join([_flat(item, deep, left) for item in value.tolist()])
    return short(value, 200)
