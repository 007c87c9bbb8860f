"""Which chunks make up which document, for what a document as a whole says about a question."""

from dataclasses import dataclass
from importlib import import_module
from typing import Any

from ._index import Index

np: Any = import_module("numpy")

Array = Any  # numpy.ndarray

_SEVERAL = 1.5
"""Chunks of a document, on the average, from which on it says more than its chunks (a guess)."""


@dataclass(frozen=True, slots=True)
class Documents:
    """The documents that the chunks of an index are of.

    Args:
        of: for each chunk, dead ones included, the number of its document.
        lead: for each chunk, whether it is what its document begins with.
        lengths: the words of each document.
        leads: the words that each begins with.
        count_too: whether they say more than their chunks.
    """

    of: Array
    lead: Array
    lengths: Array
    leads: Array
    count_too: bool


def documents_of(index: Index, owners: Array | None) -> Documents | None:
    """The documents of an index, or None where each text is one and that need not be known.

    Args:
        index: of the texts.
        owners: the document of each text; left out, each text is one.
    """
    alive = index.alive > 0
    of, begins = index.begins(np.arange(index.size_of_chunks))
    of[~alive] = 0  # what was there before may have had higher numbers
    if owners is None:
        count = int(of.max(initial=-1)) + 1
        if not _several(index, count):
            return None
    lead = alive & (begins == 0)
    if owners is not None:
        first = np.diff(owners, prepend=-1) > 0  # of the texts of a document
        lead &= first[of]
        of, count = owners[of], int(owners[-1]) + 1
    words = index.lengths * index.alive
    lengths, leads = (np.bincount(of, words * part, count) for part in (1, lead))
    return Documents(of.astype(np.int32), lead, lengths, leads, _several(index, count))


def _several(index: Index, count: int) -> bool:
    return count > 1 and index.count >= _SEVERAL * count
