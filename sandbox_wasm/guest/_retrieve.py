"""The passages of a target that may answer a query, ranked by words, wherever they are kept.

Those that are nearest in meaning are found too, where there is a model of embeddings.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ._contents import Contents, prints_of
from ._index import Index
from ._indexes import Indexed, index_of
from ._kinds import base_of
from ._meaning import nearest
from ._rank import Ranking, Statistics, query_words, rank
from ._view import FileView, is_view
from ._view_passages import passages_of

EXAMINED = 60
"""Passages whose text is looked at."""
_UNCUT = 1 << 24  # bytes of a chunk, where passages are not to be cut again


@dataclass(frozen=True, slots=True)
class Piece:
    """A passage of a text or a view.

    Args:
        number: of the text among those of the target.
        start: its offset there.
        text: what it says.
        line: its first one; 0 where it has to be counted.
        view: that it is of, if it is of one.
    """

    number: int
    start: int
    text: str
    line: int
    view: FileView | None = None

    def first_line(self) -> int:
        """Its first line, counted where it has to be."""
        return self.line or (1 if self.view is None else self.view.line_at(self.start))


@dataclass(frozen=True, slots=True)
class Retrieved:
    """What was found.

    Args:
        pieces: those that were found by words in the order of their ranking, then others.
        ranking: by words.
        places: of the pieces: what the value is called that each is in, and the item there.
        alone: whether there is one value.
        near: positions of the pieces that are nearest in meaning, the nearest first.
        weight: of that order, that of words being 1.
    """

    pieces: list[Piece]
    ranking: Ranking
    places: list[tuple[str | int, str | int | None]]
    alone: bool
    near: list[int]
    weight: float


def found_in(target: Any, query: str, size: int, enough: int, *, asked: bool | None) -> Retrieved:
    """Find passages.

    Args:
        target: of any kind that `search` takes.
        query: words.
        size: bytes of a passage, about.
        enough: how many will be shown.
        asked: whether meaning was asked for; False for words alone.

    Raises:
        TypeError: the target is of no such kind.
        EmbeddingError: meaning was asked for, and there are no vectors.
    """
    kept, contents = index_of(target, size)
    chunks: list[int] = []
    note = ""
    if asked is not False:
        chunks, note = nearest(kept.vectors, kept.index, contents.text, query, asked=asked is True)
    pieces, ranking = _by_words(target, query, size, enough, kept, contents)
    ranking.notes += [note] if note else []
    del pieces[EXAMINED:]
    at_of = {(piece.number, piece.start): at for at, piece in enumerate(pieces)}
    near: list[int] = []
    for piece in _in_memory(kept, contents, chunks):
        at = at_of.get((piece.number, piece.start))
        if at is None:
            at = len(pieces)
            pieces.append(piece)
        near.append(at)
    places = []
    for piece in pieces:
        owner, item = contents.place(piece.number)
        places.append((kept.called[owner], item))
    return Retrieved(pieces, ranking, places, len(kept.called) == 1, near, kept.vectors.weight)


def _by_words(
    target: Any, query: str, size: int, enough: int, kept: Indexed, contents: Contents
) -> tuple[list[Piece], Ranking]:
    """The passages in the order of their ranking, and the ranking."""
    ranking = rank(kept.index, kept.names, query, documents=kept.documents)
    pieces = _in_memory(kept, contents, ranking.chunks[:EXAMINED])
    if not contents.views:
        del ranking.scores[EXAMINED:]
        return pieces, ranking
    parts = [Statistics(kept.index.count, kept.index.mean, ranking.within)] if pieces else []
    notes: list[str] = []
    for number, view in enumerate(contents.all()):
        if not is_view(view):
            continue
        found = passages_of(view, query, size, enough)
        parts.append(found.statistics)
        notes += found.notes
        for start, text, line in found.passages:
            pieces.append(Piece(number, start, text, line, view))
    index, names = Index(_UNCUT), Index(_UNCUT)
    texts = [piece.text for piece in pieces]
    index.update(texts, prints_of(texts))
    called = [str(kept.called[contents.place(piece.number)[0]]) for piece in pieces]
    names.update(called, prints_of(called))
    named = names if base_of(target) is dict else None
    known = _together(parts)
    ranking = rank(index, named, query, known)
    for word, _ in query_words(query):
        if not known.within.get(word) and not any(repr(word) in note for note in ranking.notes):
            ranking.notes.append(f"no {word!r}")
    ranking.notes += dict.fromkeys(notes)
    del ranking.scores[EXAMINED:]
    return [pieces[chunk] for chunk in ranking.chunks], ranking


def _in_memory(kept: Indexed, contents: Contents, chunks: list[int]) -> list[Piece]:
    return [
        Piece(p.text, p.start, contents.text(p.text)[p.start : p.end], p.first + 1)
        for p in kept.index.places(chunks)
    ]


def _together(parts: list[Statistics]) -> Statistics:
    """What is known of several collections, taken as one."""
    count = sum(part.count for part in parts)
    words = {word for part in parts for word in part.within}
    within = {word: sum(part.within.get(word, 0.0) for part in parts) for word in words}
    mean = sum(part.mean * part.count for part in parts) / max(count, 1)
    return Statistics(max(count, 1), max(mean, 1), within)
