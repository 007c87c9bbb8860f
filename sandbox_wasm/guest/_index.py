"""The search index of one variable: which words are in which chunks, and how often.

Texts are indexed in blocks of a few MB, so that little memory is needed besides the index; the
blocks are then laid together. A text that changes gets new chunks, and its old ones are dead until
the index is made anew. The index holds no text.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from itertools import islice
from typing import Any

from ._contents import prints_of
from ._pieces import Pieces, cut
from ._vocabulary import Vocabulary
from ._words import ragged, words_of

np: Any = import_module("numpy")
pandas: Any = import_module("pandas")

Array = Any  # numpy.ndarray

_BLOCK = 2 << 20  # characters indexed at a time: needs about 25 MB besides
_UNIT = 1 << 20  # characters of a part of a long text, which is indexed again by itself
_MOST_TEXTS = 30_000  # in a block: chunks are counted in 16 bits there
_LOOSE = 8  # small segments before they are laid together
_COLUMNS = ("unit", "start", "end", "first", "last", "words")


@dataclass(frozen=True, slots=True)
class _Segment:
    """Postings: for each word of `words` those from its offset to the next."""

    words: Array
    offsets: Array
    chunks: Array
    counts: Array


@dataclass(frozen=True, slots=True)
class Place:
    """A chunk: the number of its text, characters `start` to `end`, lines counted from 0."""

    text: int
    start: int
    end: int
    first: int
    last: int


class Index:
    """An index over a sequence of texts.

    Args:
        size: bytes of a chunk, about.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.vocabulary = Vocabulary()
        self.seen = np.zeros(0, np.int64)  # fingerprints of the texts as of the last update
        self._prints = np.zeros(0, np.int64)  # of the units
        self._marks = np.zeros(0, np.int64)  # of the units, see `_marks_of`
        self._marks = np.zeros(0, np.int64)  # of the units: see _marks_of
        self._order = np.zeros(0, np.int64)  # the units that the texts are, in their order
        self._live = np.zeros(0, np.bool_)  # units
        self._place = np.zeros((0, 3), np.int64)  # of units: text, characters and lines before it
        self._segments: list[_Segment] = []
        self._chunks = {name: np.zeros(0, np.int32) for name in _COLUMNS}
        self._alive = np.zeros(0, np.float32)  # 1 or 0 for each chunk
        self.count = self.mean = 1.0  # of the chunks that are alive, and of their words
        self._boards: list[Array] = []

    @property
    def size_of_chunks(self) -> int:
        """How many chunks there are, dead ones included."""
        return len(self._alive)

    @property
    def lengths(self) -> Array:
        """How many words each chunk has."""
        return self._chunks["words"]

    @property
    def alive(self) -> Array:
        """1 for each chunk that is part of a text, 0 for each that was."""
        return self._alive

    def is_of(self, prints: Array) -> bool:
        """Whether these are the fingerprints of the texts that it was updated with last."""
        return len(prints) > 0 and np.array_equal(prints, self.seen)

    def update(self, texts: Sequence[str], prints: Array) -> int:
        """Index what is new or different among the texts.

        Args:
            texts: all of them.
            prints: their fingerprints: hash and length.

        Returns:
            The number of characters that were read for it.
        """
        if self.is_of(prints):
            return 0
        units, place, unit_prints = _units(texts, prints)
        if not len(self._order) or len(self._live) > 2 * len(units) + 1_000:
            self.__init__(self.size)  # type: ignore[misc]
        order, moved = _matched(self._prints[self._order], self._order, unit_prints)
        marks = _marks_of(units[i] for i in moved.tolist())
        order[moved[self._marks[order[moved]] != marks]] = -1
        new = np.flatnonzero(order < 0)
        base = len(self._live)
        order[new] = base + np.arange(len(new))
        self._prints = np.concatenate([self._prints, unit_prints[new]])
        marks = _marks_of(units[i] for i in new.tolist())
        self._marks = np.concatenate([self._marks, marks])
        self._place = np.concatenate([self._place, place[new]])
        self._place[order] = place
        self._live = np.zeros(base + len(new), np.bool_)
        self._live[order] = True
        self._add([units[i] for i in new.tolist()], base)
        self._alive = self._live[self._chunks["unit"]].astype(np.float32)
        self._order = order
        self.seen = prints
        self.count = max(float(self._alive.sum()), 1.0)
        self.mean = max(float((self.lengths * self._alive).sum()) / self.count, 1.0)
        return sum(len(units[i]) for i in new.tolist())

    def _add(self, units: list[str], base: int) -> None:
        made = [self._chunks]
        count = self.size_of_chunks
        for block in _blocks(units):
            pieces = cut(block, self.size)
            self._segments.append(self._segment(pieces, count, made, base))
            base += len(block)
            count += len(pieces.begins)
        self._chunks = {name: np.concatenate([part[name] for part in made]) for name in _COLUMNS}
        self.vocabulary.finish()
        if len(self._segments) > _LOOSE:
            self._segments = [_joined(self._segments, len(self.vocabulary))]

    def _segment(
        self, pieces: Pieces, first_chunk: int, made: list[dict[str, Array]], base: int
    ) -> _Segment:
        words = words_of(pieces.data)
        at = np.searchsorted(words.starts, pieces.begins)
        lengths = np.diff(np.append(at, len(words.starts)))
        columns = (
            pieces.texts + base, pieces.starts, pieces.ends, pieces.first, pieces.last, lengths,
        )  # fmt: skip
        made.append({n: c.astype(np.int32) for n, c in zip(_COLUMNS, columns, strict=True)})
        if not len(words.keys):
            nothing = np.zeros(0, np.int32)
            return _Segment(nothing, np.zeros(1, np.int32), nothing, np.zeros(0, np.uint8))
        codes, distinct = pandas.factorize(words.keys)
        # Codes are given in the order of first appearance, so a word's first place is where
        # the highest code so far goes up.
        first = np.flatnonzero(np.diff(np.maximum.accumulate(codes), prepend=-1))
        numbers = self.vocabulary.add(distinct, words, first)
        by_number = np.argsort(numbers, kind="stable")
        rank = np.empty(len(numbers), np.int32)
        rank[by_number] = np.arange(len(numbers), dtype=np.int32)
        codes = rank[codes]
        order = _sorted_by(codes)
        codes = codes[order]
        chunk = np.repeat(np.arange(len(lengths), dtype=np.uint16), lengths)[order]
        begins = np.flatnonzero(
            np.concatenate([[True], (codes[1:] != codes[:-1]) | (chunk[1:] != chunk[:-1])])
        )
        counts = np.diff(np.append(begins, len(codes)))
        codes, chunk = codes[begins], chunk[begins]
        offsets = np.searchsorted(codes, np.arange(len(numbers) + 1, dtype=codes.dtype))
        return _Segment(
            numbers[by_number],
            offsets.astype(np.int32),
            chunk.astype(np.int32) + np.int32(first_chunk),
            np.minimum(counts, 255).astype(np.uint8),
        )

    def postings(self, number: int) -> Iterator[tuple[Array, Array]]:
        """The chunks that a word is in, dead ones included, and how often; each chunk once."""
        for segment in self._segments:
            at = int(np.searchsorted(segment.words, number))
            if at < len(segment.words) and int(segment.words[at]) == number:
                begin, end = int(segment.offsets[at]), int(segment.offsets[at + 1])
                yield segment.chunks[begin:end], segment.counts[begin:end]

    def occurrences(self) -> Array:
        """How often each word is in all chunks together, by its number."""
        totals = np.zeros(len(self.vocabulary), np.int64)
        for segment in self._segments:
            sums = np.concatenate([[0], np.cumsum(segment.counts, dtype=np.int64)])
            totals[segment.words] += sums[segment.offsets[1:]] - sums[segment.offsets[:-1]]
        return totals

    @contextmanager
    def board(self) -> Iterator[Array]:
        """A number for each chunk, all 0, for as long as it is needed; it has to be 0 again then.

        The same memory serves each search: what is new each time would be written with each commit.
        """
        board = self._boards.pop() if self._boards else None
        if board is None or len(board) != self.size_of_chunks:
            board = np.zeros(self.size_of_chunks, np.float32)
        yield board
        self._boards.append(board)  # but not where an exception left numbers on it

    def texts_of(self, chunks: Array) -> Array:
        """The numbers of the texts that these chunks are in."""
        return self._place[self._chunks["unit"][chunks], 0]

    def begins(self, chunks: Array) -> tuple[Array, Array]:
        """Of these chunks the numbers of their texts, and the characters before them there."""
        unit = self._chunks["unit"][chunks]
        return self._place[unit, 0], self._place[unit, 1] + self._chunks["start"][chunks]

    def places(self, chunks: Sequence[int]) -> list[Place]:
        """Where chunks are."""
        at = np.array(chunks, np.intp)
        unit, start, end, first, last = (self._chunks[name][at] for name in _COLUMNS[:5])
        text, characters, lines = self._place[unit].T
        columns = (text, characters + start, characters + end, lines + first, lines + last)
        return [Place(*row) for row in zip(*(c.tolist() for c in columns), strict=True)]


def _marks_of(texts: Iterator[str]) -> Array:
    """Second fingerprints of texts, which differ where the first are the same by accident.

    A text that stands where it stood is known well enough by one. But one of 100,000 that are new
    has that of one of 100,000 that were there, if all are of one length.
    """
    return np.array([hash(text + "\0") for text in texts], np.int64)


def _matched(before: Array, numbers: Array, prints: Array) -> tuple[Array, Array]:
    """The numbers of the units that texts are already, -1 for a text that is new.

    Args:
        before: fingerprints of the units, in the order of the texts as they were.
        numbers: of these units.
        prints: fingerprints of the texts as they are.

    Returns:
        The numbers, and which of the texts have them though they stood elsewhere.
    """
    found = np.full(len(prints), -1, np.int64)
    if len(before) == len(prints):
        same = before == prints
        here = there = np.flatnonzero(same)
        old = new = np.flatnonzero(~same)
    else:
        most = min(len(before), len(prints))
        head = _agreeing(before[:most], prints[:most])
        tail = _agreeing(before[::-1][: most - head], prints[::-1][: most - head])
        old = np.arange(head, len(before) - tail)
        new = np.arange(head, len(prints) - tail)
        there = np.delete(np.arange(len(before)), old)
        here = np.delete(np.arange(len(prints)), new)
    found[here] = numbers[there]
    known: dict[int, list[int]] = {}
    for at in old[::-1].tolist():
        known.setdefault(int(before[at]), []).append(int(numbers[at]))
    if known:
        for at in new.tolist():
            if left := known.get(int(prints[at])):
                found[at] = left.pop()
    return found, new[found[new] >= 0]


def _agreeing(one: Array, other: Array) -> int:
    """How many entries are the same before the first that is not."""
    apart = np.flatnonzero(one != other)
    return int(apart[0]) if len(apart) else len(one)


def _units(texts: Sequence[str], prints: Array) -> tuple[Sequence[str], Array, Array]:
    """The texts, long ones in parts; for each its place (text, characters, lines) and fingerprint.

    Parts end at lines, so that text put at the end of a log changes only the last one.
    """
    numbers = np.arange(len(texts), dtype=np.int64)
    if not len(prints) or int((prints & 0xFFFFFFFF).max()) <= _UNIT:
        nothing = np.zeros_like(numbers)
        return texts, np.stack([numbers, nothing, nothing], 1), prints
    units: list[str] = []
    place: list[tuple[int, int, int]] = []
    for number, text in enumerate(texts):
        begin = lines = 0
        while True:
            end = len(text)
            if end - begin > _UNIT + _UNIT // 4:
                end = begin + _UNIT
                end = (text.rfind("\n", begin + _UNIT // 2, end) + 1) or end
            units.append(text[begin:end])
            place.append((number, begin, lines))
            if end == len(text):
                break
            lines += text.count("\n", begin, end)
            begin = end
    return units, np.array(place, np.int64), prints_of(units)


def _blocks(units: list[str]) -> Iterator[list[str]]:
    begin = size = 0
    for i, unit in enumerate(units):
        if i > begin and (size + len(unit) > _BLOCK or i - begin >= _MOST_TEXTS):
            yield units[begin:i]
            begin, size = i, 0
        size += len(unit)
    if begin < len(units):
        yield list(islice(units, begin, None))


def _sorted_by(codes: Array) -> Array:
    """The order that sorts codes and leaves equal ones as they are, by radix: linear in time."""
    order = np.argsort((codes & 0xFFFF).astype(np.uint16), kind="stable")
    high = codes >> 16
    if not high.any():
        return order
    return order[np.argsort(high[order].astype(np.uint16), kind="stable")]


def _joined(segments: list[_Segment], words: int) -> _Segment:
    """One segment instead of several, whose chunks are in ascending order."""
    totals = np.zeros(words + 1, np.int64)
    for segment in segments:
        totals[segment.words + 1] += np.diff(segment.offsets)
    offsets = np.cumsum(totals)
    chunks = np.empty(int(offsets[-1]), np.int32)
    counts = np.empty(int(offsets[-1]), np.uint8)
    free = offsets[:-1].copy()
    for segment in segments:
        lengths = np.diff(segment.offsets)
        target = ragged(free[segment.words], lengths)
        chunks[target] = segment.chunks
        counts[target] = segment.counts
        free[segment.words] += lengths
    return _Segment(np.arange(words, dtype=np.int32), offsets.astype(np.int32), chunks, counts)
