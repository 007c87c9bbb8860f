"""Which chunks of an index answer a query best: BM25 over stems, trigrams for what is misspelt."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import import_module
from itertools import pairwise
from typing import Any

from ._index import Index
from ._stem import stem
from ._words import PAD, words_of

np: Any = import_module("numpy")

Array = Any  # numpy.ndarray

K1, _B = 1.2, 0.75
"""Of BM25, as in Lucene."""
_STEM_WEIGHT = 0.9  # of another form of a word, against the word itself
_JOINED_WEIGHT = 0.8
_NAME_WEIGHT = 0.5  # of a word in a text's path, against one in the text
_MISSPELT = 4  # words of a query that are looked up by likeness: about 3 ms each
_RARE = 5_000  # a word in fewer than one chunk of this many may be misspelt
_DEPTH = 200  # of each ranking that is fused
_RRF = 60  # Cormack, Clarke and Büttcher 2009
_FUZZY_WEIGHT = 0.5
_SORTED = 30  # to sort a few numbers costs less than to look at this many times as many (a guess)
_STOP_WORDS = """a about an and any are as at be been but by can could did do does for from had has
have how i if in into is it its it me my no not of on or our should so some such than that the their
them then there these they this to was we were what when where which while who why will with would
you your"""
_STOP = frozenset(_STOP_WORDS.split())


@dataclass(slots=True)
class Term:
    """A word of a query, with the words of the vocabulary that stand for it and their weights."""

    word: str
    exact: dict[int, float] = field(default_factory=dict)
    like: dict[int, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Statistics:
    """What is known of a collection of chunks as a whole.

    Args:
        count: how many there are.
        mean: the words of one.
        within: by words of a query, in how many they are.
    """

    count: float
    mean: float
    within: dict[str, float]


@dataclass(slots=True)
class Ranking:
    """The best chunks, best first, with their scores.

    `words` are those of the query, their stems, and what was taken for them; `notes` say what was
    read as what; `within` in how many chunks each word is.
    """

    chunks: list[int]
    scores: list[float]
    words: set[str]
    notes: list[str]
    within: dict[str, float]


def query_words(query: str) -> list[tuple[str, int]]:
    """The words of a query with their keys, stop words left out unless there is nothing else."""
    words = words_of(b"\0" + query.encode("utf-8", "replace") + bytes(PAD))
    found: dict[str, int] = {}
    for key, start, length in zip(
        words.keys.tolist(), words.starts.tolist(), words.lengths.tolist(), strict=True
    ):
        text = bytes(words.low[start : start + length]).decode("utf-8", "replace")
        found.setdefault(text, key)
    telling = {word: key for word, key in found.items() if word not in _STOP}
    return list((telling or found).items())[:64]


def rank(index: Index, names: Index | None, query: str, known: Statistics | None = None) -> Ranking:
    """Rank the chunks of an index.

    Args:
        index: of the texts.
        names: an index over the names of the texts, one chunk each.
        query: words.
        known: of the collection that the texts were chosen from, if they were.
    """
    words = query_words(query)
    terms, notes = terms_of(index, words, known)
    exact = _Scores(index, known)
    for term in terms:
        exact.add(term.exact, term.word)
    if names is not None and len(names.alive):
        by_name, _ = terms_of(names, words, loose=False)
        found = _Scores(names)
        for term in by_name:
            found.add(term.exact, term.word)
        exact.add_by_name(names, *found.all())
    fused: dict[int, float] = dict(_reciprocal(*exact.all(), 1.0))
    if any(term.like for term in terms):
        loose = _Scores(index, known)
        loose.begin(*exact.all())
        for term in terms:
            loose.add(term.like)
        for chunk, score in _reciprocal(*loose.all(), _FUZZY_WEIGHT):
            fused[chunk] = fused.get(chunk, 0.0) + score
    ordered = sorted(fused, key=lambda chunk: -fused[chunk])
    meant = {part for word, _ in words for part in (word, stem(word)) if part}
    meant |= {index.vocabulary.text(number) for term in terms for number in term.like}
    best = [fused[chunk] for chunk in ordered]
    return Ranking(ordered, best, meant, notes, exact.within)


def terms_of(
    index: Index,
    words: list[tuple[str, int]],
    known: Statistics | None = None,
    *,
    loose: bool = True,
) -> tuple[list[Term], list[str]]:
    """What stands for each word of a query in an index, and notes on what was taken for what.

    Args:
        index: of the texts.
        words: of the query.
        known: of the collection that the texts were chosen from, if they were.
        loose: whether words are looked up by likeness, too, where they are rare.
    """
    vocabulary = index.vocabulary
    terms: list[Term] = []
    notes: list[str] = []
    if not len(vocabulary):
        return terms, notes
    for word, key in words:
        term = Term(word, dict.fromkeys(vocabulary.with_stem(word), _STEM_WEIGHT))
        number = vocabulary.number(key)
        if number is not None:
            term.exact[number] = 1.0
        terms.append(term)
    for (one, _), (other, _) in pairwise(words):
        for word, key in query_words(one + other):
            number = vocabulary.number(key)
            if number is not None and len(word) > 3:
                terms.append(Term(word, {number: _JOINED_WEIGHT}))
    if not loose:
        return terms, notes
    count = index.size_of_chunks if known is None else known.count
    few = max(1, count // _RARE)
    within = {} if known is None else known.within
    often = [max(_used(index, term.exact), within.get(term.word, 0)) for term in terms]
    rare = sorted((used, at) for at, used in enumerate(often) if used <= few)
    for used, at in rare[:_MISSPELT]:
        word = terms[at].word
        if len(word) < 4 or not word.isalpha() or not word.isascii():
            continue
        parts = _split(index, word) if not used else {}
        exact = terms[at].exact
        like = {n: w for n, w in vocabulary.like(word) if n not in exact}
        terms[at].like = parts | like
        if not used and terms[at].like:
            best = sorted(terms[at].like, key=lambda n: -terms[at].like[n])[:3]
            notes.append(f"no {word!r}; like it: {', '.join(map(vocabulary.text, best))}")
    return terms, notes


def _used(index: Index, numbers: dict[int, float]) -> int:
    return sum(len(chunks) for number in numbers for chunks, _ in index.postings(number))


def _split(index: Index, word: str) -> dict[int, float]:
    """Two known words that make up an unknown one, as in `checkpoint`."""
    for at in range(3, len(word) - 2):
        halves = [query_words(half) for half in (word[:at], word[at:])]
        numbers = [index.vocabulary.number(half[0][1]) if half else None for half in halves]
        if None not in numbers:
            return {number: 0.5 for number in numbers if number is not None}
    return {}


def occurrences(index: Index, variants: dict[int, float]) -> tuple[Array, Array]:
    """The chunks that any of some words is in, dead ones included, and how often by weight."""
    found = [
        (chunks, counts, np.float32(weight))
        for number, weight in variants.items()
        for chunks, counts in index.postings(number)
    ]
    if not found:
        return np.zeros(0, np.int32), np.zeros(0, np.float32)
    if len(found) == 1:
        chunks, counts, weight = found[0]
        return chunks, counts * weight
    with index.board() as board:
        for chunks, counts, weight in found:
            board[chunks] += counts * weight
        at = _distinct([chunks for chunks, _, _ in found], board)
        often = board[at]
        board[at] = 0
    return at, often


def _distinct(parts: list[Array], board: Array) -> Array:
    """The chunks of several lists once each, which are those that are not 0 on a board."""
    if sum(map(len, parts)) * _SORTED > len(board):
        return np.flatnonzero(board)
    return np.unique(np.concatenate(parts)) if parts else np.zeros(0, np.int32)


class _Scores:
    """The BM25 scores of those chunks that have any of the words of a query.

    Only what is in the postings is looked at: most words are in few chunks.
    """

    def __init__(self, index: Index, known: Statistics | None = None) -> None:
        self._index = index
        self._known = known
        self._parts: list[tuple[Array, Array]] = []
        self.within: dict[str, float] = {}

    def begin(self, at: Array, scores: Array) -> None:
        """Add scores that are known."""
        self._parts.append((at, scores))

    def add(self, variants: dict[int, float], word: str = "") -> None:
        """Add what a word contributes, any of whose variants counts."""
        index, known = self._index, self._known
        at, often = occurrences(index, variants)
        if not len(at):
            return
        alive = index.alive[at]
        within, count, mean = float(alive.sum()), index.count, index.mean
        if known is not None:
            within = max(within, known.within.get(word, 0.0))
            count, mean = max(known.count, within), known.mean
        self.within[word] = within
        rarity = float(np.log(1 + (count - within + 0.5) / (within + 0.5)))
        length = (1 - _B) + _B / mean * index.lengths[at].astype(np.float32)
        score = np.float32(rarity * (K1 + 1)) * often / (often + np.float32(K1) * length)
        self._parts.append((at, score * alive))

    def all(self) -> tuple[Array, Array]:
        """The chunks that have any of the words, and their scores; 0 for dead ones."""
        if len(self._parts) == 1:
            return self._parts[0]
        with self._index.board() as board:
            for at, scores in self._parts:
                board[at] += scores
            at = _distinct([at for at, _ in self._parts], board)
            scores = board[at]
            board[at] = 0
        self._parts = [(at, scores)]
        return at, scores

    def add_by_name(self, names: Index, at: Array, scores: Array) -> None:
        """Add to the chunks that have a word what the name of their text has of the words."""
        if not len(at):
            return
        chunks, _ = self.all()
        with names.board() as board:
            places = names.texts_of(at)
            board[places] = scores
            more = board[self._index.texts_of(chunks)]
            board[places] = 0
        self._parts.append((chunks, np.float32(_NAME_WEIGHT) * more))


def _reciprocal(at: Array, scores: Array, weight: float) -> Iterator[tuple[int, float]]:
    """The best chunks of a ranking, with a score that only tells their ranks.

    Equal scores have equal ranks.
    """
    at, scores = at[scores > 0], scores[scores > 0]
    if len(at) > _DEPTH:
        best = np.argpartition(-scores, _DEPTH)[:_DEPTH]
        at, scores = at[best], scores[best]
    order = np.lexsort((at, -scores))
    place, last = 0, None
    for i, (chunk, score) in enumerate(
        zip(at[order].tolist(), scores[order].tolist(), strict=True)
    ):
        if score != last:
            place, last = i, score
        yield chunk, weight / (_RRF + 1 + place)
