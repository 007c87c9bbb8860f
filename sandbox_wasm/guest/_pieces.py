"""Where a search index cuts texts into chunks: at blank lines where it can, else at lines."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from ._words import PAD

np: Any = import_module("numpy")

Array = Any  # numpy.ndarray


@dataclass(frozen=True, slots=True)
class Pieces:
    """The chunks of several texts, which lie one after another in `data` as UTF-8.

    All but `data` are arrays with an entry for each chunk: `begins` are bytes of `data`, `texts`
    the numbers of the texts, `starts` and `ends` characters and `first` and `last` lines of a text,
    counted from 0.
    """

    data: bytes
    begins: Array
    texts: Array
    starts: Array
    ends: Array
    first: Array
    last: Array


def cut(texts: Sequence[str], size: int) -> Pieces:
    """Cut texts into chunks of about `size` bytes; none is empty but that of an empty text."""
    encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
    lengths = np.fromiter(map(len, encoded), np.intp, len(encoded))
    # A byte before each text, so that every word has a byte before it.
    data = b"\0" + b"\0".join(encoded) + bytes(PAD)
    origins = np.cumsum(lengths + 1) - lengths
    del encoded
    buffer = np.frombuffer(data, np.uint8)
    newlines = np.flatnonzero(buffer == 10)
    begins = np.union1d(origins, _breaks(buffer, newlines, origins, lengths, size))
    of = np.searchsorted(origins, begins, "right") - 1
    ends = np.minimum(np.append(begins[1:], len(data)), (origins + lengths)[of])
    line_of_origin = np.searchsorted(newlines, origins)[of]
    first = np.searchsorted(newlines, begins) - line_of_origin
    last = np.searchsorted(newlines, np.maximum(ends - 1, begins)) - line_of_origin
    starts, stops = begins - origins[of], ends - origins[of]
    if not data.isascii():
        inner = np.flatnonzero((buffer & 0xC0) == 0x80)  # bytes that begin no character
        before = np.searchsorted(inner, origins)[of]
        starts = starts - (np.searchsorted(inner, begins) - before)
        stops = stops - (np.searchsorted(inner, ends) - before)
    small = (part.astype(np.int32) for part in (of, starts, stops, first, last))
    return Pieces(data, begins, *small)


def _breaks(buffer: Array, newlines: Array, origins: Array, lengths: Array, size: int) -> Array:
    """Where the longer texts are cut, besides at their beginnings."""
    more = np.maximum(1, (lengths + size // 2) // size) - 1
    total = int(more.sum())
    if not total:
        return np.zeros(0, origins.dtype)
    counted = np.arange(total) - np.repeat(np.cumsum(more) - more, more) + 1
    wished = np.repeat(origins, more) + counted * size
    limits = np.repeat(origins + lengths, more)
    # After a blank line, where something begins that is not indented.
    after = buffer[newlines + 1] > 32
    whole = newlines[after & (buffer[newlines - 1] == 10)] + 1
    place = _next(whole, wished - size // 2)
    place = np.where(place > wished + size // 2, _next(newlines + 1, wished), place)
    far = place > wished + size
    if far.any():
        spaces = np.flatnonzero(buffer == 32) + 1
        near = _next(spaces, wished[far])
        hard = wished[far]
        for _ in range(3):  # not inside a character
            hard = hard + ((buffer[hard] & 0xC0) == 0x80)
        place[far] = np.where(near > hard + size // 4, hard, near)
    return place[place < limits]


def _next(places: Array, wished: Array) -> Array:
    """The first of the sorted places at or after each wish; far away where there is none."""
    padded = np.append(places, np.iinfo(np.int32).max)
    return padded[np.searchsorted(padded[:-1], wished)].astype(np.intp)
