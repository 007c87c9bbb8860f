"""`search` for guest code: the passages of a variable that a question in words is about."""

from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from typing import Any

from ._fit import clip
from ._hits import Hit, Hits
from ._meaning import fused
from ._rank import query_words
from ._render import short
from ._retrieve import Piece, found_in
from ._sources import holder_of

np: Any = import_module("numpy")

Embed = Callable[[list[str]], Iterable[Iterable[float]]]

SIZE = 1_200
"""Bytes of a chunk: a function or a few paragraphs, short enough to be read whole (a guess)."""
_ALIKE = 50  # chunks that are ranked by `embed`
_WRITTEN = 1.5  # times the score of what has the query word by word (a guess)
_SHARE = 3  # hits of one text among those of many


def search(
    query: str,
    target: Any,
    k: int = 10,
    *,
    size: int = SIZE,
    embed: Embed | bool | None = None,
) -> Hits:
    """Find the passages about something, best first, as a list of `Hit`.

    Words count by BM25, whatever their ending (`load` finds `loading`) and inside of `camelCase`
    and `snake_case`, and what their document is about counts with them; what is misspelt is found
    by its trigrams. Where an embedding model is set,
    the passages that are nearest in meaning are found too. The target is a text, a list of texts or
    dicts, a dict of path to text, or a DataFrame. A `Hit` has `where` (path, index or
    ""), `line` to `end_line`, `score` (1 for the best), and `text`, the whole passage; in a folder
    of documents also `item`, the page, message or sheet. The index is kept with the space, and
    what changed is indexed again.

    The target may also be a view, or hold views. One of more than 16 MB has no index: it is read
    through, on the host, for the lines with the words of the query that are in at most about 50,000
    lines, and where these stand closest together are the passages. Its other words only rank them.
    A query that has no rare word gets lines with two of its words, and passages out of a sample of
    the view; then a note says so. `start` is in bytes there.

    Args:
        query: words, or a question.
        target: where to search.
        k: how many passages at most.
        size: bytes of a passage, about.
        embed: True for words and meaning, by the embedding model of the server; left out, that
            where it runs on this machine and is quick; False for words alone. A function from a
            list of texts to vectors ranks the best by words anew. What is in views is found by its
            words.

    Raises:
        TypeError: the target is none of these.
        EmbeddingError: meaning was asked for, and there is no model, or it failed.
        ValueError: an argument cannot be used.
    """
    if type(query) is not str and type(target) is str:
        raise ValueError("search(query, target): the query comes first, then where to search")
    if type(query) is not str or not query.strip():
        raise ValueError("search(query, target): the query must be words, not empty")
    if type(k) is not int or k < 1 or type(size) is not int or not 100 <= size <= 100_000:
        raise ValueError(f"k={k!r}, size={size!r}: k must be above 0, size 100 to 100,000")
    if not (embed is None or isinstance(embed, bool) or callable(embed)):
        raise TypeError(f"embed={short(embed, 80)}: True, False, or a function")
    if not query_words(query):
        raise ValueError(f"{query!r} has no word to search for; use grep(pattern, target)")
    found = found_in(target, query, size, k, asked=False if callable(embed) else embed)
    pieces, places, stems = found.pieces, found.places, found.ranking.words
    scores = [
        score * _as_written(query, piece.text)
        for piece, score in zip(pieces, found.ranking.scores, strict=False)
    ]
    order = sorted(range(len(scores)), key=lambda i: -scores[i])
    if callable(embed) and order:
        order = _by_meaning(query, order[:_ALIKE], [piece.text for piece in pieces], embed)
        scores = [0.0] * len(pieces)
        for at, i in enumerate(order):
            scores[i] = 1 / (1 + at)
    elif found.near:
        both = fused(order, found.near, found.weight)
        scores = [both[i] for i in range(len(pieces))]
        order = sorted(both, key=lambda i: -both[i])
    hits = Hits()
    hits.notes = tuple(found.ranking.notes)
    of = holder_of(target)
    share = k if found.alone else _SHARE
    taken: dict[Any, int] = {}
    for i in order:
        where = places[i][0]
        taken[where] = taken.get(where, 0) + 1
        if taken[where] > share:
            continue
        score = round(scores[i] / (scores[order[0]] or 1), 2)
        hits.append(_hit(places[i], pieces[i], score, stems, of))
        if len(hits) == k:
            break
    return hits


def _hit(
    place: tuple[str | int, str | int | None], piece: Piece, score: float, stems: set[str], of: str
) -> Hit:
    text = piece.text
    line = piece.first_line()
    last = line + text.count("\n", 0, max(len(text) - 1, 0))
    return Hit(
        place[0], line, text, piece.start, item=place[1], end_line=last,
        score=score, excerpt=_telling_line(text, stems), of=of, view=piece.view,
    )  # fmt: skip


def _as_written(query: str, passage: str) -> float:
    """More for a passage that has the query as it was written."""
    whole = " ".join(query.lower().split())
    return _WRITTEN if len(whole) > 3 and whole in passage.lower() else 1.0


def _telling_line(text: str, stems: set[str]) -> str:
    """The line of a passage that has the most of the words."""
    best, most = "", -1
    for line in text.splitlines()[:400]:
        low = line[:2_000].lower()
        count = sum(word in low for word in stems)
        if count > most and low.strip():
            best, most = line, count
    at = min((found for word in stems if (found := best.lower().find(word)) >= 0), default=0)
    begin = max(0, at - 60) if len(best) > 160 else 0
    return clip(("…" if begin else "") + best[begin : begin + 400].strip(), 160)


def _by_meaning(query: str, order: Sequence[int], passages: list[str], embed: Embed) -> list[int]:
    """The order by words and the order by meaning, fused."""
    asked = [query, *(passages[i] for i in order)]
    vectors = np.array([list(vector) for vector in embed(asked)], np.float64)
    if vectors.ndim != 2 or len(vectors) != len(asked):
        raise ValueError(
            f"embed was given {len(asked)} texts and returned {np.shape(vectors)}: it must return "
            "one vector of numbers for each text, all of one length"
        )
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    near = np.argsort(-(vectors[1:] @ vectors[0]), kind="stable").tolist()
    by_meaning = {order[i]: at for at, i in enumerate(near)}
    fused = {i: 1 / (61 + at) + 2 / (61 + by_meaning[i]) for at, i in enumerate(order)}
    return sorted(fused, key=lambda i: -fused[i])
