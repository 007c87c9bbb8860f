"""The indexes of the variables that were searched, which are kept with the space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from ._contents import Contents, Read, contents_of, prints_of, read
from ._documents import Documents, documents_of
from ._index import Index
from ._lines import is_text
from ._meaning import Vectors
from ._places import UNITS
from ._render import short
from ._sources import name_of, namespace, unit_within
from ._view import is_view

np: Any = import_module("numpy")

Array = Any  # numpy.ndarray

_KEPT = 4
DIVIDED = frozenset(UNITS.values()) - {"line"}
"""What the documents of a folder consist of, where their format says that they do."""


@dataclass(slots=True)
class Indexed:
    """An index, and what is known of the variable as it was then.

    Args:
        index: of the texts.
        plain: whether these are the variable's own values.
        read: what the values were when texts were made of them.
        keys: of a dict.
        places: the addresses of these.
        called: the keys as text, or "" for a text alone.
        names: an index of these.
        owners: of each text, under which key it is; None where each key has one.
        documents: that the texts make up, where these are to be known.
        vectors: of the chunks of the texts.
    """

    index: Index
    plain: bool = False
    read: Read | None = None
    keys: list[Any] | None = None
    places: Array | None = None
    called: Sequence[Any] = ()
    names: Index | None = None
    owners: Array | None = None
    documents: Documents | None = None
    vectors: Vectors = field(default_factory=Vectors)


_kept: dict[Any, Indexed] = {}
"""By the name of the variable, else by its identity; the one that was used last is at the end."""


def index_of(target: Any, size: int) -> tuple[Indexed, Contents]:
    """The index of a variable as of now, and what is in the variable.

    Args:
        target: of any kind that `search` takes.
        size: bytes of a chunk.

    Raises:
        TypeError: it is of no such kind.
    """
    variables = namespace()
    for key in list(_kept):
        if type(key[0]) is str and key[0] not in variables:
            del _kept[key]
    name = name_of(target)
    key = (name or id(target), size)
    # Not in the table while it is worked on: what is stopped halfway is no index.
    kept = _kept.pop(key, None) or Indexed(Index(size))
    while len(_kept) >= _KEPT:
        del _kept[next(iter(_kept))]
    found = contents_of(
        target, kept.keys, kept.places, kept.index.seen if kept.plain else None,
        divided=name is not None and unit_within(name) in DIVIDED,
    )  # fmt: skip
    kept.plain = found.plain
    if found.prints is None:
        kept.read = read(found, kept.read)
    if not kept.index.is_of(found.prints) or not np.array_equal(found.owners, kept.owners):
        kept.index.update(found.texts(), found.prints)
        kept.documents, kept.owners = documents_of(kept.index, found.owners), found.owners
    if found.keys is None:
        kept.keys, kept.names = None, None
        kept.called = [""] if is_text(target) or is_view(target) else range(len(found.values))
    elif kept.keys is None or (found.keys is not kept.keys and found.keys != kept.keys):
        kept.called = [k if type(k) is str else short(k, 200) for k in found.keys]
        kept.names = Index(size)
        kept.names.update(kept.called, prints_of(kept.called))
    kept.keys, kept.places = found.keys, found.places
    _kept[key] = kept
    return kept, found
