"""The search index of one variable: which words are in which chunks, and how often.

Texts are indexed in blocks of a few MB, so that little memory is needed besides the index; the
blocks are then laid together. A text that changes gets new chunks, and its old ones are dead until
the index is made anew. The index holds no text.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import islice
from typing import Any

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
        self._seen = np.zeros(0, np.int64)  # fingerprints of the texts as of the last update
        self._prints = np.zeros(0, np.int64)  # of the units
        self._live = np.zeros(0, np.bool_)  # units
        self._place = np.zeros((0, 3), np.int64)  # of units: text, characters and lines before it
        self._segments: list[_Segment] = []
        self._chunks = {name: np.zeros(0, np.int32) for name in _COLUMNS}
        self._alive = np.zeros(0, np.float32)  # 1 or 0 for each chunk
        self.count = self.mean = 1.0  # of the chunks that are alive, and of their words

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

    def is_of(self, values: Sequence[Any]) -> bool:
        """Whether these are the texts that it was updated with last, and it was with any."""
        if not len(self._seen) or len(values) != len(self._seen):
            return False
        try:
            return bool(np.array_equal(_hashes(values), self._seen))
        except TypeError:  # what has no hash is no text
            return False

    def update(self, texts: Sequence[str]) -> int:
        """Index what is new or different among the texts.

        Returns:
            The number of characters that were read for it.
        """
        seen = _hashes(texts)
        if len(seen) and np.array_equal(seen, self._seen):
            return 0
        units, place, prints = _units(texts, _fingerprints(texts))
        known: dict[int, list[int]] = {}
        for number in np.flatnonzero(self._live)[::-1].tolist():
            known.setdefault(int(self._prints[number]), []).append(number)
        if not known or len(self._live) > 2 * len(units) + 1_000:
            self.__init__(self.size)  # type: ignore[misc]
            known = {}
        self._live[:] = False
        new: list[int] = []
        for i, fingerprint in enumerate(prints.tolist()):
            same = known.get(fingerprint)
            if same:
                number = same.pop()
                self._live[number] = True
                self._place[number] = place[i]
            else:
                new.append(i)
        base = len(self._live)
        self._prints = np.concatenate([self._prints, prints[new]])
        self._place = np.concatenate([self._place, place[new]])
        self._live = np.concatenate([self._live, np.ones(len(new), np.bool_)])
        self._add([units[i] for i in new], base)
        self._alive = self._live[self._chunks["unit"]].astype(np.float32)
        self._seen = seen
        self.count = max(float(self._alive.sum()), 1.0)
        self.mean = max(float((self.lengths * self._alive).sum()) / self.count, 1.0)
        return sum(len(units[i]) for i in new)

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

    def texts_of(self, chunks: Array) -> Array:
        """The numbers of the texts that these chunks are in."""
        return self._place[self._chunks["unit"][chunks], 0]

    def place(self, chunk: int) -> Place:
        """Where a chunk is."""
        unit, start, end, first, last = (int(self._chunks[n][chunk]) for n in _COLUMNS[:5])
        text, characters, lines = self._place[unit].tolist()
        return Place(text, characters + start, characters + end, lines + first, lines + last)


def _hashes(texts: Sequence[Any]) -> Array:
    """The hashes of texts, which are kept in them: asking again costs next to nothing."""
    return np.fromiter(map(hash, texts), np.int64, len(texts))


def _fingerprints(texts: Sequence[str]) -> Array:
    """A number for each text that differs when the text does, but for one case in 2**32."""
    return _hashes(texts) << 32 ^ np.fromiter(map(len, texts), np.int64, len(texts))


def _units(texts: Sequence[str], seen: Array) -> tuple[Sequence[str], Array, Array]:
    """The texts, long ones in parts; for each its place (text, characters, lines) and fingerprint.

    Parts end at lines, so that text put at the end of a log changes only the last one.
    """
    numbers = np.arange(len(texts), dtype=np.int64)
    if not any(len(text) > _UNIT for text in texts):
        nothing = np.zeros_like(numbers)
        return texts, np.stack([numbers, nothing, nothing], 1), seen
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
    return units, np.array(place, np.int64), _fingerprints(units)


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
