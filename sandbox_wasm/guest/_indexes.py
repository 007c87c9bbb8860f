"""The indexes of the variables that were searched, which are kept with the space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from ._contents import Contents, contents_of, flat, prints_of
from ._index import Index
from ._lines import is_text
from ._meaning import Vectors
from ._render import short
from ._sources import name_of, namespace
from ._view import is_view

np: Any = import_module("numpy")

Array = Any  # numpy.ndarray

_KEPT = 4


@dataclass(slots=True)
class Indexed:
    """An index, and what is known of the variable as it was then.

    Args:
        index: of the texts.
        plain: whether these are the variable's own values.
        keys: of a dict.
        places: the addresses of these.
        called: the keys as text, or "" for a text alone.
        names: an index of these.
        vectors: of the chunks of the texts.
    """

    index: Index
    plain: bool = False
    keys: list[Any] | None = None
    places: Array | None = None
    called: Sequence[Any] = ()
    names: Index | None = None
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
    key = (name_of(target) or id(target), size)
    # Not in the table while it is worked on: what is stopped halfway is no index.
    kept = _kept.pop(key, None) or Indexed(Index(size))
    while len(_kept) >= _KEPT:
        del _kept[next(iter(_kept))]
    found = contents_of(target, kept.keys, kept.places, kept.index.seen if kept.plain else None)
    kept.plain = found.prints is not None
    if found.prints is None:
        found.flat = [flat(value) for value in found.all()]
        found.prints = prints_of(found.flat)
    if not kept.index.is_of(found.prints):
        kept.index.update(found.flat or found.all(), found.prints)
    if found.keys is None:
        kept.keys, kept.names = None, None
        kept.called = [""] if is_text(target) or is_view(target) else range(len(found.prints))
    elif kept.keys is None or (found.keys is not kept.keys and found.keys != kept.keys):
        kept.called = [k if type(k) is str else short(k, 200) for k in found.keys]
        kept.names = Index(size)
        kept.names.update(kept.called, prints_of(kept.called))
    kept.keys, kept.places = found.keys, found.places
    _kept[key] = kept
    return kept, found
