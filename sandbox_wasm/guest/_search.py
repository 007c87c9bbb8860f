"""`search` for guest code: the passages of a variable that a question in words is about."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from ._chunk import Chunk
from ._fit import clip
from ._hits import Hit, Hits
from ._index import Index, Place
from ._kinds import base_of, table_kind, type_name
from ._lines import as_text, is_text, plain
from ._meaning import Vectors, fused, nearest
from ._rank import query_words, rank
from ._render import short
from ._sources import name_of, namespace
from ._view import is_view

np: Any = import_module("numpy")

Embed = Callable[[list[str]], Iterable[Iterable[float]]]

SIZE = 1_200
"""Bytes of a chunk: a function or a few paragraphs, short enough to be read whole (a guess)."""
_KEPT = 4  # indexes
_EXAMINED = 60  # chunks whose text is looked at
_ALIKE = 50  # chunks that are ranked by `embed`
_SHARE = 3  # hits of one text among those of many
_DEEP = 5


@dataclass(slots=True)
class _Kept:
    """An index, and what is known of the variable as it was then.

    `keys` are those of a dict, `called` are they as text, `names` is an index of that; `plain` says
    that the texts are the variable's own; `vectors` are those of the index's chunks.
    """

    index: Index
    plain: bool = False
    keys: list[Any] | None = None
    called: Sequence[Any] = ()
    names: Index | None = None
    vectors: Vectors = field(default_factory=Vectors)


_kept: dict[Any, _Kept] = {}
"""By the name of the variable, else by its identity; the one that was used last is at the end."""


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
    and `snake_case`; what is misspelt is found by its trigrams. Where an embedding model is set,
    the passages that are nearest in meaning are found too. The target is a text, a list of
    texts or dicts, a dict of path to text, or a DataFrame. A `Hit` has `where` (path, index or
    ""), `line` to `end_line`, `score` (1 for the best), and `text`, the whole passage. The index is
    kept with the space, and what changed is indexed again.

    Args:
        query: words, or a question.
        target: where to search.
        k: how many passages at most.
        size: bytes of a passage, about.
        embed: True for words and meaning, by the embedding model of the server; left out, that
            where it runs on this machine and is quick; False for words alone. A function from a
            list of texts to vectors ranks the best by words anew.

    Raises:
        TypeError: the target is none of these.
        EmbeddingError: meaning was asked for, and there is no model, or it failed.
        ValueError: an argument cannot be used.
    """
    if type(query) is not str or not query.strip():
        raise ValueError("search(query, target): the query must be words, not empty")
    if type(k) is not int or k < 1 or type(size) is not int or not 100 <= size <= 100_000:
        raise ValueError(f"k={k!r}, size={size!r}: k must be above 0, size 100 to 100,000")
    if not (embed is None or isinstance(embed, bool) or callable(embed)):
        raise TypeError(f"embed={short(embed, 80)}: True, False, or a function")
    if not query_words(query):
        raise ValueError(f"{query!r} has no word to search for; use grep(pattern, target)")
    if is_view(target):
        raise TypeError(
            "search reads what is in memory: give it a slice of the view, or use "
            "grep(pattern, view)"
        )
    kept, texts = _index_of(target, size, *_texts(target))
    called = kept.called or range(len(texts))
    ranking = rank(kept.index, kept.names, query)
    chunks = ranking.chunks[:_EXAMINED]
    by_words = len(chunks)
    near: list[int] = []
    if embed is None or isinstance(embed, bool):
        if embed is not False:
            asked = embed is True
            near, note = nearest(kept.vectors, kept.index, texts.__getitem__, query, asked=asked)
            ranking.notes += [note] if note else []
        embed = None
        known = set(chunks)
        chunks += [chunk for chunk in near if chunk not in known]
    weights = ranking.scores[:by_words] + [0.0] * (len(chunks) - by_words)
    found = [(kept.index.place(c), score) for c, score in zip(chunks, weights, strict=True)]
    passages = [texts[place.text][place.start : place.end] for place, _ in found]
    stems = ranking.words
    scores = [
        score * _bonus(query, stems, passage)
        for (_, score), passage in zip(found, passages, strict=True)
    ]
    order = sorted(range(len(found)), key=lambda i: -scores[i])
    if embed is not None and order:
        order = _by_meaning(query, order[:_ALIKE], passages, embed)
        scores = [0.0] * len(found)
        for at, i in enumerate(order):
            scores[i] = 1 / (1 + at)
    elif near:
        at_of = {chunk: i for i, chunk in enumerate(chunks)}
        in_words, in_meaning = [i for i in order if i < by_words], [at_of[c] for c in near]
        both = fused(in_words, in_meaning, kept.vectors.weight)
        scores = [both[i] for i in range(len(found))]
        order = sorted(both, key=lambda i: -both[i])
    hits = Hits()
    hits.notes = tuple(ranking.notes)
    of = name_of(target) or ""
    share = k if len(texts) == 1 else _SHARE
    taken: dict[int, int] = {}
    for i in order:
        place = found[i][0]
        taken[place.text] = taken.get(place.text, 0) + 1
        if taken[place.text] > share:
            continue
        score = round(scores[i] / (scores[order[0]] or 1), 2)
        hits.append(_hit(called[place.text], place, passages[i], score, stems, of))
        if len(hits) == k:
            break
    return hits


def _hit(where: Any, place: Place, text: str, score: float, stems: set[str], of: str) -> Hit:
    last = place.last + 1
    return Hit(
        where, place.first + 1, text, place.start,
        end_line=last, score=score, excerpt=_telling_line(text, stems), of=of,
    )  # fmt: skip


def _texts(target: Any) -> tuple[list[Any] | None, list[Any]]:
    """The keys of a target, if it has any, and what is to be searched."""
    base: Any = base_of(target)
    if is_text(target):
        return [""], [as_text(plain(target))]
    if base is dict:
        return list(dict.keys(target)), list(dict.values(target))
    if base is list or base is tuple:
        return None, list(base.__iter__(target))
    kind = table_kind(target)
    if kind == "frame":
        columns = [target.iloc[:, i] for i in range(target.shape[1])]
        cells = [c.astype(str).tolist() for c in columns if c.dtype.kind not in "fc"]
        return None, [" | ".join(row) for row in zip(*cells, strict=True)]
    if kind == "series" and target.ndim == 1:
        return None, target.tolist()
    raise TypeError(
        "search wants a str, a list of str or dicts, a dict of path to str or a DataFrame, "
        f"not {type_name(type(target))}"
    )


def _flat(value: Any, deep: int) -> str:
    """The text in a value, such as that in the fields of a record."""
    if value is None:
        return ""
    if is_text(value):
        return as_text(plain(value))
    base: Any = base_of(value)
    if deep and base is dict:
        return "\n".join([_flat(item, deep - 1) for item in dict.values(value)])
    if deep and base in (list, tuple, set, frozenset):
        return "\n".join([_flat(item, deep - 1) for item in base.__iter__(value)])
    return short(value, 200)


def _index_of(
    target: Any, size: int, keys: list[Any] | None, values: list[Any]
) -> tuple[_Kept, list[str]]:
    """The index of a variable as of now, and its texts."""
    variables = namespace()
    for key in list(_kept):
        if type(key[0]) is str and key[0] not in variables:
            del _kept[key]
    key = (name_of(target) or id(target), size)
    # Not in the table while it is worked on: what is stopped halfway is no index.
    kept = _kept.pop(key, None) or _Kept(Index(size))
    while len(_kept) >= _KEPT:
        del _kept[next(iter(_kept))]
    if not (kept.plain and kept.index.is_of(values)):
        kept.plain = set(map(type, values)) <= {str, Chunk}
        values = values if kept.plain else [_flat(value, _DEEP) for value in values]
        kept.index.update(values)
    if keys != kept.keys:
        kept.keys = keys
        kept.called = [k if type(k) is str else short(k, 200) for k in keys or ()]
        kept.names = Index(size) if base_of(target) is dict else None
        if kept.names is not None:
            kept.names.update(kept.called)
    _kept[key] = kept
    return kept, values


def _bonus(query: str, stems: set[str], passage: str) -> float:
    """More for passages that have many of the words, and for those that have them as written."""
    low = passage.lower()
    share = sum(word in low for word in stems) / max(len(stems), 1)
    whole = " ".join(query.lower().split())
    phrase = len(whole) > 3 and whole in low
    return 1 + 0.5 * share * share + 0.5 * phrase


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
