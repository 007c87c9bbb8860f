"""What is to be searched in a target: its texts and their keys, touched as little as can be."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from . import _addresses
from ._chunk import Chunk
from ._flat import UNKNOWN, flat, mark_of, rows_of
from ._kinds import base_of, table_kind, type_name
from ._lines import as_text, is_text, plain
from ._view import FileView, is_view

np: Any = import_module("numpy")

Array = Any  # numpy.ndarray

_NO_HASH = -1  # the hash of a text that nobody has asked for
_TEXTS: tuple[type, ...] = (str, Chunk)
_LONG = 200
"""Characters of a text that is more than a cell or a tag (a guess)."""


@dataclass(slots=True)
class Contents:
    """The values of a target in their order.

    Args:
        values: as they are, in a list or a dict.
        keys: of the dict.
        places: the addresses of these, if they are known.
        prints: fingerprints of the texts, once they are known.
        plain: whether the values are all texts themselves.
        views: whether there are views among them.
        owners: of each value, under which of the keys it is, where that of a key is divided.
        items: of each value, the index or name that leads from the value of its key to it; None
            where that is it.
    """

    values: Any
    keys: list[Any] | None = None
    places: Array | None = None
    prints: Array | None = None
    plain: bool = False
    views: bool = False
    owners: Array | None = None
    items: list[str | int | None] | None = None
    _texts: dict[int, str] = field(default_factory=dict)

    def text(self, number: int) -> str:
        """The text of one of the values."""
        if self.plain:
            return self.value(number)  # type: ignore[no-any-return]
        found = self._texts.get(number)
        if found is None:
            found = self._texts[number] = flat(self.value(number))
        return found

    def texts(self) -> Sequence[str]:
        """The texts of all values, each made when it is asked for."""
        return self.all() if self.plain else _Texts(self)

    def value(self, number: int) -> Any:
        """One of the values."""
        if self.keys is None or self.owners is not None:
            return list.__getitem__(self.values, number)
        return dict.__getitem__(self.values, self.keys[number])

    def all(self) -> list[Any]:
        """All of the values."""
        if self.keys is None or self.owners is not None:
            return list(list.__iter__(self.values))
        return list(dict.values(self.values))

    def place(self, number: int) -> tuple[int, str | int | None]:
        """Under which of the keys a value is, or which value it is; and its item there."""
        if self.owners is None or self.items is None:
            return number, None
        return int(self.owners[number]), self.items[number]


class _Texts(Sequence[str]):
    """The texts of values that are no texts themselves."""

    def __init__(self, contents: Contents) -> None:
        self._contents = contents
        self._count = len(contents.all())

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: Any) -> Any:
        if isinstance(number, slice):
            return [self._contents.text(at) for at in range(*number.indices(self._count))]
        if not 0 <= number < self._count:
            raise IndexError(number)
        return self._contents.text(number)


@dataclass(frozen=True, slots=True)
class Read:
    """What values were when their texts were read: marks of them, and fingerprints of the texts."""

    marks: Array
    prints: Array


def read(contents: Contents, before: Read | None) -> Read:
    """Find out the fingerprints of texts that are made of other values.

    Args:
        contents: gets them.
        before: what was found then; the texts of values that are the same are not made again.
    """
    marks = np.fromiter(map(mark_of, contents.all()), np.int64)
    prints = np.zeros(len(marks), np.int64)
    new = np.arange(len(marks))
    if before is not None and len(before.marks):
        most = min(len(marks), len(before.marks))
        same = np.zeros(len(marks), np.bool_)
        same[:most] = (marks[:most] == before.marks[:most]) & (marks[:most] != UNKNOWN)
        prints[:most] = np.where(same[:most], before.prints[:most], 0)
        new = np.flatnonzero(~same)
        if len(new):  # they may stand elsewhere now
            known = dict(zip(before.marks.tolist(), before.prints.tolist(), strict=True))
            known.pop(UNKNOWN, None)
            found = [known.get(mark) for mark in marks[new].tolist()]
            for number, known_print in zip(new.tolist(), found, strict=True):
                prints[number] = 0 if known_print is None else known_print
            new = new[np.array([known_print is None for known_print in found], np.bool_)]
    prints[new] = prints_of([contents.text(number) for number in new.tolist()])
    contents.prints = prints
    return Read(marks, prints)


def contents_of(
    target: Any,
    keys: list[Any] | None = None,
    places: Array | None = None,
    seen: Array | None = None,
    *,
    divided: bool = False,
) -> Contents:
    """Take a target apart.

    Args:
        target: of any kind that `search` takes.
        keys: that it had when it was looked at before.
        places: the addresses of these.
        seen: the fingerprints that it had, if its values were plain texts.
        divided: whether lists in a dict are known to be pages and the like, however short.

    Raises:
        TypeError: it is of no such kind.
    """
    base: Any = base_of(target)
    if base is dict:
        found = _addresses.of_dict(target)
        if found is None:
            made = Contents(target, list(dict.keys(target)))
            values = made.all()  # is where the addresses lie
            made = _looked_at(made, _addresses.of_list(values), seen)
        else:
            same = keys is not None and places is not None and np.array_equal(found[0], places)
            made = Contents(target, keys if same else list(dict.keys(target)), found[0])
            made = _looked_at(made, found[1], seen)
        return made if made.plain else _divided(made, divided)
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
        return rows_of(target)
    if kind == "series" and target.ndim == 1:
        return list(target.tolist())
    raise TypeError(
        "search wants a str, a list of str or dicts, a dict of path to str, a view or a DataFrame, "
        f"not {type_name(type(target))}"
    )


def _looked_at(made: Contents, found: Array | None, seen: Array | None) -> Contents:
    """The same with what is told by the values' addresses, or by the values."""
    if found is None:
        kinds: set[Any] = set(map(type, made.all()))
        texts: set[Any] = set(_TEXTS)
        made.views = FileView in kinds
    else:
        texts = set(map(id, _TEXTS))
        if seen is not None and _addresses.have_prints(found, seen, texts):
            made.prints, made.plain = seen, True
            return made
        prints, kinds = _addresses.prints_of(found), _addresses.kinds_of(found)
        made.views = id(FileView) in kinds
    if not kinds <= texts:
        return made
    made.plain = True
    if found is not None and not bool((prints >> 32 == _NO_HASH).any()):
        made.prints = prints
        return made
    made.prints = prints_of(made.all())
    return made


def _divided(made: Contents, known: bool) -> Contents:
    """Documents of a folder taken apart into their pages, messages, sheets and the like."""
    values: list[Any] = []
    items: list[str | int | None] = []
    counts: list[int] = []
    for value in made.all():
        before = len(values)
        for item, part in _parts(value, known):
            items.append(item)
            values.append(part)
        counts.append(len(values) - before)
    if len(values) == len(counts) and all(item is None for item in items):
        return made
    owners = np.repeat(np.arange(len(counts)), counts)
    views = any(map(is_view, values))
    return Contents(values, made.keys, made.places, None, False, views, owners, items)


def _parts(value: Any, known: bool) -> Iterator[tuple[str | int | None, Any]]:
    """What a value is to be searched as: its items, or itself."""
    base: Any = base_of(value)
    if base is list or base is tuple:
        listed = list(base.__iter__(value))
        if listed and (known or any(map(_stands_alone, listed))):
            yield from enumerate(listed)
            return
    elif base is dict:
        tables = list(dict.items(value))
        named = all(type(name) in (str, int) for name, _ in tables)
        if tables and named and all(table_kind(table) == "frame" for _, table in tables):
            yield from tables
            return
    yield None, value


def _stands_alone(item: Any) -> bool:
    """Whether an item of a list is rather a page or a message than a cell, a tag or a line."""
    if is_text(item):
        text = plain(item)
        return len(text) > _LONG or ("\n" if isinstance(text, str) else b"\n") in text
    return base_of(item) is dict or is_view(item) or table_kind(item) == "frame"


def prints_of(texts: list[str]) -> Array:
    """A number for each text that differs when the text does, but for one case in 2**32.

    Python keeps the hash of a text in the text, so asking again reads nothing.
    """
    hashes = np.fromiter(map(hash, texts), np.int64, len(texts))
    return hashes << 32 | np.fromiter(map(len, texts), np.int64, len(texts))
