"""Ranking by meaning: the vectors of an index's chunks, and which are nearest to a question's.

The vectors are the host's work: a guest has no model. They are kept with the index, as directions
in signed bytes, so that only what is new has to be sent again.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from ._fit import plural
from ._index import Index
from ._slots import FOUND, read_found

np: Any = import_module("numpy")

Array = Any  # numpy.ndarray
TextOf = Callable[[int], str]

DEPTH = 50  # chunks of each ranking that is fused
_RRF = 3  # with the usual 60, what one ranking alone has comes after all that both have
_TEXTS, _CHARS = 4_096, 6 << 20  # of one call of the host, which takes a little more
_STEP = 512  # vectors that are compared at a time, so that little memory is written to
_FULL = 4_096  # vectors of a block that gets no more

_about: dict[str, Any] = {}
"""What the host said of its model in this turn."""


class EmbeddingError(Exception):
    """There are no vectors; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class _Block:
    """Some vectors: what texts they are of, their directions and the lengths of these."""

    prints: Array
    directions: Array
    lengths: Array


class Vectors:
    """The vectors of the chunks of one index, as far as they are known.

    Attributes:
        model: that made them; empty for none.
        weight: how much nearness counts, words being 1.
        dimensions: numbers of a vector; 0 where that is not known.
    """

    def __init__(self) -> None:
        self.model = ""
        self.weight = 1.0
        self.clear()

    def clear(self) -> None:
        """Forget all vectors."""
        self.dimensions = 0
        self._blocks: list[_Block] = []
        self._rows = np.zeros(0, np.int32)  # of the chunks; -1 for one without a vector
        self._of: object = None

    def missing(self, index: Index) -> Array:
        """The chunks that have words and no vector."""
        rows = self._rows
        # An index that was made anew has another vocabulary, and numbers its chunks again.
        if self._of is not index.vocabulary:
            rows, self._of = rows[:0], index.vocabulary
        more = index.size_of_chunks - len(rows)
        self._rows = rows = np.concatenate([rows, np.full(more, -1, np.int32)])
        return np.flatnonzero((rows < 0) & (index.alive > 0) & (index.lengths > 0))

    def fill(self, index: Index, text_of: TextOf, chunks: Array, op: str) -> int:
        """Get the vectors of chunks, of those whose text is new from the host.

        What was got is kept, also where this is stopped.

        Returns:
            0, or the length of the vectors that came if it is another than `dimensions`.
        """
        each = min(_TEXTS, max(1, _CHARS // index.size // 2))
        for begin in range(0, len(chunks), each):
            some = chunks[begin : begin + each]
            places = index.places(some.tolist())
            cut = [text_of(place.text)[place.start : place.end] for place in places]
            prints = np.array([hash(text) << 32 ^ len(text) for text in cut], np.int64)
            rows = self._find(prints)
            new = [at for at in np.flatnonzero(rows < 0).tolist() if cut[at].strip()]
            if new:
                _, first = np.unique(prints[new], return_index=True)
                new = [new[at] for at in first.tolist()]
                found = embed(op, [cut[at] for at in new], self.dimensions)
                if found.shape[1] != self.dimensions:
                    return int(found.shape[1])
                self._add(prints[new], found)
                rows = self._find(prints)
            self._rows[some] = rows
        if self._size > 2 * (np.count_nonzero(self._rows >= 0) + 1_000):
            self._shrink()
        return 0

    def nearest(self, index: Index, question: Array, most: int) -> list[int]:
        """The chunks whose vectors are nearest to a direction, the nearest first.

        Those that are at a right angle to it or point away have nothing to do with it.
        """
        asked = question.astype(np.float32)
        near = np.zeros(self._size, np.float32)
        at = 0
        for block in self._blocks:
            for begin in range(0, len(block.lengths), _STEP):
                some = block.directions[begin : begin + _STEP].astype(np.float32) @ asked
                near[at : at + len(some)] = some / block.lengths[begin : begin + _STEP]
                at += len(some)
        chunks = np.flatnonzero((self._rows >= 0) & (index.alive > 0))
        scores = near[self._rows[chunks]]
        chunks, scores = chunks[scores > 0], scores[scores > 0]
        if len(chunks) > most:
            best = np.argpartition(-scores, most)[:most]
            chunks, scores = chunks[best], scores[best]
        found: list[int] = chunks[np.argsort(-scores, kind="stable")].tolist()
        return found

    @property
    def _size(self) -> int:
        return sum(len(block.prints) for block in self._blocks)

    def _find(self, prints: Array) -> Array:
        """The rows of texts by their fingerprints; -1 for one without a vector."""
        if not self._blocks:
            return np.full(len(prints), -1, np.int32)
        known = np.concatenate([block.prints for block in self._blocks])
        order = np.argsort(known, kind="stable")
        at = np.minimum(np.searchsorted(known[order], prints), len(known) - 1)
        rows = order[at]
        return np.where(known[rows] == prints, rows, -1).astype(np.int32)

    def _add(self, prints: Array, directions: Array) -> None:
        # One assignment, so that what is stopped here has added all or nothing.
        block = _Block(prints, directions, _lengths(directions))
        if self._blocks and len(self._blocks[-1].prints) + len(prints) <= _FULL:
            self._blocks[-1] = _joined(self._blocks[-1], block)
        else:
            self._blocks.append(block)

    def _shrink(self) -> None:
        """Forget the vectors of texts that are gone."""
        rows = np.unique(self._rows[self._rows >= 0])
        kept, begin = [], 0
        for block in self._blocks:
            size = len(block.prints)
            own = rows[(rows >= begin) & (rows < begin + size)] - begin
            kept.append(_Block(block.prints[own], block.directions[own], block.lengths[own]))
            begin += size
        places = np.searchsorted(rows, self._rows).astype(np.int32)
        self._blocks, self._rows = kept, np.where(self._rows >= 0, places, -1)


def begin() -> None:
    """Forget what the host said in the turn before."""
    _about.clear()


def nearest(
    vectors: Vectors, index: Index, text_of: TextOf, query: str, *, asked: bool
) -> tuple[list[int], str]:
    """The chunks that are nearest to a query in meaning, nearest first, and a note.

    Args:
        vectors: of the chunks; those that are missing are made.
        index: of the texts.
        text_of: gives the text of a number that chunks are parts of.
        query: as it was asked.
        asked: whether this was asked for. If not, it is done where it costs little.

    Raises:
        EmbeddingError: it was asked for, and there are no vectors.
    """
    try:
        return _nearest(vectors, index, text_of, query, asked=asked)
    except EmbeddingError as error:
        if asked:
            raise
        return [], f"by words alone: {error}"


def _nearest(
    vectors: Vectors, index: Index, text_of: TextOf, query: str, *, asked: bool
) -> tuple[list[int], str]:
    if not _about:
        _about.update(_answer("embed_model"))
    if "none" in _about:
        if asked or _about["set"]:
            raise EmbeddingError(_about["none"])
        return [], ""
    unasked = _about["unasked"]
    if not index.alive.any() or (not asked and not unasked):
        return [], ""
    if vectors.model != _about["model"]:
        vectors.clear()
        vectors.model, vectors.weight = _about["model"], _about["weight"]
    missing = vectors.missing(index)
    if not asked and len(missing) > unasked:
        count = plural(len(missing), "passage")
        return [], f"by words alone: {count} without vectors, embed=True has them made"
    op = _about["op"]
    question = embed(op, [query], vectors.dimensions)[0]
    for _ in range(2):
        if vectors.dimensions != len(question):
            vectors.clear()  # none yet, or the model behind the name is another one now
            vectors.dimensions = len(question)
        other = vectors.fill(index, text_of, vectors.missing(index), op)
        if not other:
            break
        question = embed(op, [query], other)[0]
    else:
        raise EmbeddingError(
            "the embedding model gives vectors of different lengths from one request to the next; "
            "search by words alone with embed=False"
        )
    if not question.any():
        return [], "by words alone: the embedding model knows no word of the query"
    return vectors.nearest(index, question, DEPTH), "by words and meaning"


def fused(by_words: Iterable[int], by_meaning: Iterable[int], weight: float) -> dict[int, float]:
    """What is in two rankings, each with a score that counts its ranks alone.

    Args:
        by_words: best first.
        by_meaning: best first.
        weight: of the second, against 1 of the first.
    """
    scores: dict[int, float] = {}
    for ranking, each in ((by_words, 1.0), (by_meaning, weight)):
        for at, item in enumerate(ranking):
            scores[item] = scores.get(item, 0.0) + each / (_RRF + 1 + at)
    return scores


def embed(op: str, texts: list[str], dimensions: int) -> Array:
    """The directions of the vectors of texts, of shape (texts, dimensions).

    Args:
        op: what the host calls this.
        texts: none of them blank.
        dimensions: of the vectors that are known already, or 0.

    Raises:
        EmbeddingError: the host has none.
    """
    answer = _answer(op, texts=texts, slot=FOUND, dimensions=dimensions or None)
    size = answer["dimensions"]
    data = read_found(size * len(texts))
    return np.frombuffer(data, np.int8).reshape(len(texts), size)


def _answer(op: str, **fields: Any) -> dict[str, Any]:
    # The door exists in the guest alone.
    from . import _door

    answer = _door.answer(op, **fields)
    if "refused" in answer:
        raise EmbeddingError(answer["refused"])
    return answer


def _lengths(directions: Array) -> Array:
    """The lengths of directions, those of nothing being 1."""
    squares = np.einsum("ij,ij->i", directions, directions, dtype=np.float32)
    return np.maximum(np.sqrt(squares), 1).astype(np.float32)


def _joined(one: _Block, other: _Block) -> _Block:
    return _Block(
        np.concatenate([one.prints, other.prints]),
        np.concatenate([one.directions, other.directions]),
        np.concatenate([one.lengths, other.lengths]),
    )
