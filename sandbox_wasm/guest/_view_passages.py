"""The passages of a view that a question may be about, without reading all of the view here.

The host's search program finds the lines with the words of the question that are rare; where they
stand closely together there is a passage. Words that are in very many lines count in the passages
that the others led to. Of questions with nothing but such words, those lines are taken that have
two of them, and the best passages of the pieces that the view's index is made of.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, NamedTuple

from ._contents import prints_of
from ._index import Index
from ._lines import as_text
from ._rank import K1, Statistics, occurrences, query_words, rank, terms_of
from ._stem import beginning_of, stem
from ._view import FileView
from ._view_bytes import text_of, width
from ._view_find import Offsets, Row, clean, lines_that_may_match
from ._view_index import PIECE, ViewIndex, view_index
from ._view_range import LONGEST, WINDOW
from ._word_patterns import Pattern, either, exactly, nearly, several, with_stem

np: Any = import_module("numpy")

Array = Any  # numpy.ndarray

LINES, _BYTES = 50_000, 16 << 20
"""Lines that are taken over from the host, and their bytes: a second in the guest."""
_LONG = 64 << 10  # bytes of a line that is taken over whole
_EDGE = 128  # bytes of a word and what is around it, at most
_TAKEN = 60  # passages of a view
_LOOKED_AT = 5_000  # places where one may begin
_AT_ONCE = 6  # words, of which the search program looks for plain text (measured, ripgrep 14)
_TOGETHER = 3  # frequent words of which two have to be in a line


class Passage(NamedTuple):
    """A piece of a view: its offset, its text, and its first line, 0 where that is not known."""

    start: int
    text: str
    line: int


@dataclass(slots=True)
class Found:
    """The passages of a view, what is known of the view as a whole, and what was left out."""

    passages: list[Passage]
    statistics: Statistics
    notes: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Word:
    """A word of a query as lines are looked for that have it; `likely` is how many there are."""

    word: str
    pattern: Pattern
    likely: float


def passages_of(view: FileView, query: str, size: int, enough: int) -> Found:
    """The passages of a view that may answer a query, in no order.

    Args:
        view: that is searched.
        query: words.
        size: bytes of a passage, about.
        enough: how many will be shown.

    Raises:
        ViewChangedError: the file is no longer what it was.
    """
    known = view_index(view, size)
    ranking = rank(known.index, None, query)
    within = {word: used * known.scale for word, used in ranking.within.items()}
    statistics = Statistics(known.index.count * known.scale, known.index.mean, within)
    best = Found(list(_indexed(view, known, ranking.chunks[:_TAKEN])), statistics)
    return best if known.whole else _Search(view, known, query, size).run(best, enough)


def _indexed(view: FileView, known: ViewIndex, chunks: list[int]) -> Iterator[Passage]:
    """The passages that chunks of a view's index are."""
    pieces: dict[int, str] = {}
    ends = [*known.begins[1:], view.size]
    for place in known.index.places(chunks):
        piece = pieces.get(place.text)
        begin = known.begins[place.text]
        if piece is None:
            end = min(ends[place.text], begin + PIECE)
            piece = pieces[place.text] = text_of(view, view.read(begin, end))
        line = known.lines[place.text] + place.first + 1 if known.lines else 0
        start = begin + width(view, piece[: place.start])
        yield Passage(start, clean(piece[place.start : place.end]), line)


class _Search:
    """A search of a view that is too large to be indexed whole."""

    def __init__(self, view: FileView, known: ViewIndex, query: str, size: int) -> None:
        self._view, self._known, self._size = view, known, size
        self._query = query_words(query)
        self._rows: dict[int, Row] = {}
        self._complete: set[str] = set()  # words of which all lines are here

    def run(self, sampled: Found, enough: int) -> Found:
        """Find passages.

        Args:
            sampled: those of the pieces in the view's index.
            enough: how many will be shown.
        """
        words = sorted(self._words(), key=lambda word: word.likely)
        total, rare, frequent = 0.0, list[_Word](), list[_Word]()
        for word in words:
            total += word.likely
            (rare if total <= LINES else frequent).append(word)
        for at in range(0, len(rare), _AT_ONCE):
            batch = rare[at : at + _AT_ONCE]
            if self._take(either(word.pattern for word in batch)):
                self._complete |= {word.word for word in batch}
            else:
                frequent += batch
        found = self._passages(sampled.statistics)
        missing = [word for word in sorted(self._complete) if not found.statistics.within.get(word)]
        if missing and len(found.passages) < enough:  # it takes ten times as long as the rest
            self._take_like(missing)
            found = self._passages(sampled.statistics)
        if len(found.passages) < enough and len(frequent) > 1:
            self._take(several(word.pattern for word in frequent[:_TOGETHER]))
            found = self._passages(sampled.statistics)
        if len(found.passages) < enough and frequent:
            names = ", ".join(repr(word.word) for word in frequent[:5])
            found.passages += sampled.passages[: enough - len(found.passages)]
            found.notes.append(
                f"{names}: in so many lines of the view that only a part of them was looked at; "
                "add a rarer word"
            )
        return found

    def _words(self) -> Iterator[_Word]:
        index, often, scale = self._known.index, self._known.often, self._known.scale
        binary = self._view.binary
        terms, _ = terms_of(index, self._query, loose=False)
        exact = {term.word: list(term.exact) for term in terms}
        for word, _ in self._query:
            forms = exact.get(word, [])
            root = stem(word)
            near = index.vocabulary.beginning_with(beginning_of(root)) if root.isascii() else forms
            alike, same = (float(often[numbers].sum()) * scale for numbers in (near, forms))
            if alike > LINES / 2 and same < alike / 2:
                known = map(index.vocabulary.text, forms)
                yield _Word(word, either(exactly(w, binary) for w in {word, *known}), same)
            else:
                yield _Word(word, with_stem(word, binary), alike)

    def _take(self, pattern: Pattern) -> bool:
        """Take over the lines that a pattern finds, and say whether these are all."""
        wanted, told = pattern.compiled(self._view.binary)
        size = 0
        rows = lines_that_may_match(self._view, wanted, told, 0, self._view.size, LINES + 1)
        for taken, row in enumerate(rows, 1):
            parts = [row] if len(row.data) <= _LONG else self._parts_of(row, pattern)
            for part in parts:
                size += len(part.data)
                if taken > LINES or size > _BYTES:
                    return False
                self._rows[part.start] = part
        return True

    def _parts_of(self, row: Row, pattern: Pattern) -> Iterator[Row]:
        """What is around the matches in a line that is too long to be taken over whole."""
        view, size = self._view, self._size
        wanted = re.compile(pattern.text)
        end = row.start + len(row.data)
        end = view.line_end(row.start) if len(row.data) >= LONGEST else end
        at, taken = row.start, -1
        while at < end:
            stop = min(at + WINDOW, end)
            text = text_of(view, view.read(at, stop))
            offsets = Offsets(text, at, view._encoding in (None, "utf-8"))
            for match in wanted.finditer(text):
                begin = offsets.at(match.start())
                if begin >= taken:
                    low = view.character(max(row.start, begin - size // 2))
                    taken = min(end, begin + size)
                    yield Row(row.number, low, view.read(low, taken))
            at = stop if stop == end else view.character(stop - _EDGE)

    def _take_like(self, words: Iterable[str]) -> None:
        """Take over lines with what words that are nowhere may be misspelt for."""
        known, binary = self._known.index.vocabulary, self._view.binary
        patterns: list[Pattern] = []
        for word in words:
            near = nearly(word)
            if near is not None:
                like = [known.text(number) for number, _ in known.like(word)]
                patterns += [near, *(exactly(one, binary) for one in like)]
        if patterns:
            self._take(either(patterns))

    def _index(self) -> tuple[Index, list[Row]]:
        """An index of the lines that are here."""
        rows = [self._rows[start] for start in sorted(self._rows)]
        texts = [text_of(self._view, row.data) for row in rows]
        index = Index(self._size)
        index.update(texts, prints_of(texts))
        return index, rows

    def _passages(self, sampled: Statistics) -> Found:
        """The best passages around the lines that are here."""
        index, rows = self._index()
        terms, _ = terms_of(index, self._query)
        within = dict(sampled.within)
        weighted: list[tuple[float, Array, Array]] = []
        for term in terms:
            chunks, often = occurrences(index, term.exact or term.like)
            if not len(chunks):
                continue
            at = self._offsets(index, rows, chunks)
            order = np.argsort(at, kind="stable")
            at, often = at[order], often[order]
            used = float(len(np.unique(at // self._size)))
            if term.word not in self._complete:
                used = max(used, within.get(term.word, 0.0))
            if term.exact:
                within[term.word] = used
            others = max(sampled.count - used, 0)
            rarity = float(np.log(1 + (others + 0.5) / (used + 0.5)))
            weighted.append((rarity, at, often))
        statistics = Statistics(sampled.count, sampled.mean, within)
        if not weighted:
            return Found([], statistics)
        begins = np.unique(np.concatenate([at for _, at, _ in weighted]))
        ends = begins + self._size
        scores = np.zeros(len(begins))
        last = begins.copy()
        for rarity, at, often in weighted:
            sums = np.concatenate([[0], np.cumsum(often)])
            low, high = np.searchsorted(at, begins), np.searchsorted(at, ends)
            count = sums[high] - sums[low]
            scores += rarity * count / (count + K1)
            last = np.where(high > low, np.maximum(last, at[high - 1]), last)
        taken: list[tuple[int, int]] = []
        passages: list[Passage] = []
        starts = np.array([row.start for row in rows], np.int64)
        for number in np.argsort(-scores, kind="stable")[:_LOOKED_AT].tolist():
            begin, end = int(begins[number]), int(last[number])
            if any(one <= begin < other for one, other in taken):
                continue
            row = rows[int(np.searchsorted(starts, begin, "right")) - 1]
            floor = max((other for _, other in taken if other <= begin), default=0)
            made, following = self._passage(begin, end, row, floor)
            taken.append((made.start, following))
            passages.append(made)
            if len(passages) == _TAKEN:
                break
        return Found(passages, statistics)

    def _offsets(self, index: Index, rows: list[Row], chunks: Array) -> Array:
        """Where chunks of the lines begin in the view."""
        numbers, before = index.begins(chunks)
        at = np.array([row.start for row in rows], np.int64)[numbers]
        for i in np.flatnonzero(before).tolist():  # in long lines
            text = text_of(self._view, rows[int(numbers[i])].data)
            at[i] += width(self._view, text[: int(before[i])])
        return at

    def _passage(self, begin: int, last: int, row: Row, floor: int) -> tuple[Passage, int]:
        """The text around a range, and where it ends: of whole lines, and from a blank one on.

        Args:
            begin: where a line or a part of one begins that the passage is about.
            last: the same, of the last such.
            row: the line at the beginning.
            floor: where the passage must not begin before.
        """
        view, size = self._view, self._size
        low = max(floor, begin - max(0, size - (last - begin)) // 2, 0)
        high = min(view.size, max(low + size, last) + 2 * size)
        data = view.read(low, high)
        first = 0
        if low:
            blank = data.find(b"\n\n", 0, begin - low)
            first = blank + 2 if blank >= 0 else data.find(b"\n", 0, begin - low) + 1
            first = first or (begin - low if begin == row.start or low < row.start else 0)
        limit = max(first + size, last - low + 1)
        end = data.find(b"\n", last - low) + 1 or len(data)  # the last line is to be in it
        if end > limit + size:
            end = min(limit, len(data))
        elif end < limit:
            end = max(end, data.rfind(b"\n", end, limit) + 1)
        start, end = view.character(low + first), view.character(low + end)
        line = row.number - data.count(b"\n", first, begin - low)
        return Passage(start, as_text(view.text(start, end)), line), end
