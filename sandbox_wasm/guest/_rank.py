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

_K1, _B = 1.2, 0.75  # as in Lucene
_STEM_WEIGHT = 0.9  # of another form of a word, against the word itself
_JOINED_WEIGHT = 0.8
_NAME_WEIGHT = 0.5  # of a word in a text's path, against one in the text
_MISSPELT = 4  # words of a query that are looked up by likeness: about 3 ms each
_RARE = 5_000  # a word in fewer than one chunk of this many may be misspelt
_DEPTH = 200  # of each ranking that is fused
_RRF = 60  # Cormack, Clarke and Büttcher 2009
_FUZZY_WEIGHT = 0.5
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


@dataclass(slots=True)
class Ranking:
    """The best chunks, best first, with their scores.

    `words` are those of the query, their stems, and what was taken for them; `notes` say what was
    read as what.
    """

    chunks: list[int]
    scores: list[float]
    words: set[str]
    notes: list[str]


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


def rank(index: Index, names: Index | None, query: str) -> Ranking:
    """Rank the chunks of an index.

    Args:
        index: of the texts.
        names: an index over the names of the texts, one chunk each.
        query: words.
    """
    words = query_words(query)
    terms, notes = _terms(index, words)
    exact = _scores(index, [term.exact for term in terms])
    if names is not None and len(names.alive):
        by_name, _ = _terms(names, words, loose=False)
        of_text = np.zeros(names.size_of_chunks, np.float32)
        found = _scores(names, [term.exact for term in by_name])
        at = np.flatnonzero(found > 0)
        of_text[names.texts_of(at)] = found[at]
        at = np.flatnonzero(exact > 0)
        exact[at] += _NAME_WEIGHT * of_text[index.texts_of(at)]
    fused: dict[int, float] = dict(_reciprocal(exact, 1.0))
    if any(term.like for term in terms):
        loose = exact + _scores(index, [term.like for term in terms])
        for chunk, score in _reciprocal(loose, _FUZZY_WEIGHT):
            fused[chunk] = fused.get(chunk, 0.0) + score
    ordered = sorted(fused, key=lambda chunk: -fused[chunk])
    meant = {part for word, _ in words for part in (word, stem(word)) if part}
    meant |= {index.vocabulary.text(number) for term in terms for number in term.like}
    return Ranking(ordered, [fused[chunk] for chunk in ordered], meant, notes)


def _terms(
    index: Index, words: list[tuple[str, int]], *, loose: bool = True
) -> tuple[list[Term], list[str]]:
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
    few = max(1, index.size_of_chunks // _RARE)
    rare = sorted(
        (used, at) for at, term in enumerate(terms) if (used := _used(index, term.exact)) <= few
    )
    for used, at in rare[:_MISSPELT]:
        word = terms[at].word
        if len(word) < 4 or not word.isalpha() or not word.isascii():
            continue
        parts = _split(index, word) if not used else {}
        known = terms[at].exact
        like = {n: w for n, w in vocabulary.like(word) if n not in known}
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


def _scores(index: Index, terms: list[dict[int, float]]) -> Array:
    """The BM25 score of every chunk; 0 for dead ones."""
    count = index.size_of_chunks
    scores = np.zeros(count, np.float32)
    for variants in terms:
        often = np.zeros(count, np.float32)
        for number, weight in variants.items():
            for chunks, counts in index.postings(number):
                often[chunks] += counts * np.float32(weight)
        at = np.flatnonzero(often)
        if not len(at):
            continue
        often = often[at]
        within = float(index.alive[at].sum())
        rarity = float(np.log(1 + (index.count - within + 0.5) / (within + 0.5)))
        length = (1 - _B) + _B / index.mean * index.lengths[at].astype(np.float32)
        scores[at] += rarity * (_K1 + 1) * often / (often + _K1 * length)
    return scores * index.alive


def _reciprocal(scores: Array, weight: float) -> Iterator[tuple[int, float]]:
    """The best chunks of a ranking, with a score that only tells their ranks.

    Equal scores have equal ranks.
    """
    at = np.flatnonzero(scores > 0)
    if len(at) > _DEPTH:
        at = at[np.argpartition(-scores[at], _DEPTH)[:_DEPTH]]
    at = at[np.argsort(-scores[at], kind="stable")]
    place, last = 0, None
    for i, (chunk, score) in enumerate(zip(at.tolist(), scores[at].tolist(), strict=True)):
        if score != last:
            place, last = i, score
        yield chunk, weight / (_RRF + 1 + place)
