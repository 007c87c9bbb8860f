"""Which chunks of an index answer a query best: BM25 over stems, trigrams for what is misspelt."""

from dataclasses import dataclass, field
from importlib import import_module
from itertools import pairwise
from typing import Any

from ._documents import Documents
from ._index import Index
from ._stem import stem
from ._words import PAD, words_of

np: Any = import_module("numpy")

Array = Any  # numpy.ndarray

K1, _B = 1.2, 0.75
"""Of BM25, as in Lucene."""
_STEM_WEIGHT = 0.9  # of another form of a word, against the word itself
_JOINED_WEIGHT = 0.8
_DOCUMENT_WEIGHT = _LEAD_WEIGHT = 0.5
"""Of a word in a document of many passages, and in the passage that it begins with, against one in
the passage itself. Of 92 questions over two code bases 60 then have a file first that answers them,
where 44 had one; any weights from 0.25 to 1 do about as well."""
_NAME_WEIGHT = 1.0  # of a word in a document's path
_MISSPELT = 4  # words of a query that are looked up by likeness: about 3 ms each
_RARE = 5_000  # a word in fewer than one chunk of this many may be misspelt
_DEPTH = 200  # chunks of a ranking
_LIKE_WEIGHT = 0.5  # of a word that is spelt like one of the query
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


def rank(
    index: Index,
    names: Index | None,
    query: str,
    known: Statistics | None = None,
    documents: Documents | None = None,
) -> Ranking:
    """Rank the chunks of an index.

    Args:
        index: of the texts.
        names: an index over the names of the documents, one chunk each.
        query: words.
        known: of the collection that the texts were chosen from, if they were.
        documents: that the chunks are of, if these are to count; left out, each text is one.
    """
    words = query_words(query)
    terms, notes = terms_of(index, words, known)
    scores = _Scores(index, known, documents)
    for term in terms:
        scores.add(term.exact, term.word)
        scores.add({number: _LIKE_WEIGHT * much for number, much in term.like.items()})
    scores.add_of_documents()
    if names is not None and len(names.alive):
        by_name, _ = terms_of(names, words, loose=False)
        found = _Scores(names)
        for term in by_name:
            found.add(term.exact)
        scores.add_of_names(names, *found.all())
    chunks, best = _best(*scores.all())
    meant = {part for word, _ in words for part in (word, stem(word)) if part}
    meant |= {index.vocabulary.text(number) for term in terms for number in term.like}
    return Ranking(chunks, best, meant, notes, scores.within)


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

    def __init__(
        self, index: Index, known: Statistics | None = None, documents: Documents | None = None
    ) -> None:
        self._index = index
        self._known = known
        self._documents = documents
        self._parts: list[tuple[Array, Array]] = []
        self._found: list[tuple[Array, Array]] = []
        self.within: dict[str, float] = {}

    def add(self, variants: dict[int, float], word: str = "") -> None:
        """Add what a word contributes, any of whose variants counts."""
        index, known = self._index, self._known
        at, often = occurrences(index, variants)
        if not len(at):
            return
        alive = index.alive[at]
        often = often * alive
        within, count, mean = float(alive.sum()), index.count, index.mean
        if known is not None:
            within = max(within, known.within.get(word, 0.0))
            count, mean = max(known.count, within), known.mean
        if word:
            self.within[word] = within
        score = _bm25(often, index.lengths[at].astype(np.float32) / np.float32(mean))
        self._parts.append((at, np.float32(_rarity(count, within)) * score))
        self._found.append((at, often))

    def add_of_documents(self) -> None:
        """Add what the documents as wholes have of the words, and what their beginnings have.

        The passage that answers need not say what its document is about.
        """
        documents = self._documents
        if documents is None or not documents.count_too or not self._found:
            return
        count = len(documents.lengths)
        scores = np.zeros(count)
        for weight, lengths, lead in (
            (_DOCUMENT_WEIGHT, documents.lengths, False),
            (_LEAD_WEIGHT, documents.leads, True),
        ):
            there = float(np.count_nonzero(lengths))
            length = lengths * (there / max(float(lengths.sum()), 1.0))
            for at, often in self._found:
                of = documents.of[at]
                much = np.bincount(of, often * documents.lead[at] if lead else often, count)
                rarity = _rarity(there, float(np.count_nonzero(much)))
                scores += weight * rarity * _bm25(much, length)
        chunks, _ = self.all()
        self._parts.append((chunks, scores[documents.of[chunks]].astype(np.float32)))

    def add_of_names(self, names: Index, at: Array, scores: Array) -> None:
        """Add to the chunks that have a word what the name of their document has of the words."""
        if not len(at):
            return
        chunks, _ = self.all()
        documents = self._documents
        of = self._index.texts_of(chunks) if documents is None else documents.of[chunks]
        with names.board() as board:
            places = names.texts_of(at)
            board[places] = scores
            more = board[of]
            board[places] = 0
        self._parts.append((chunks, np.float32(_NAME_WEIGHT) * more))

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


def _rarity(count: float, within: float) -> float:
    return float(np.log(1 + (count - within + 0.5) / (within + 0.5)))


def _bm25(often: Array, length: Array) -> Array:
    """What a word that is there so often says, by lengths of which 1 is that of the mean."""
    length = (1 - _B) + _B * length
    return (K1 + 1) * often / (often + K1 * length)


def _best(at: Array, scores: Array) -> tuple[list[int], list[float]]:
    """The best chunks and their scores, best first."""
    at, scores = at[scores > 0], scores[scores > 0]
    if len(at) > _DEPTH:
        best = np.argpartition(-scores, _DEPTH)[:_DEPTH]
        at, scores = at[best], scores[best]
    order = np.lexsort((at, -scores))
    return at[order].tolist(), scores[order].tolist()
