"""Pages: what each shows. Templates escape whatever is put into them, and make it visible."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import jinja2

from ..errors import SpaceError
from ..quantities import ago_text, counted, size_text
from ..store import SpaceRow, SpanRow, Spending, Step, StoreReader
from ..trajectory import TEXTS, spent_texts, title_of
from ._marks import Mark, marks_of
from ._shown import Manner, Shown
from ._tree import ONE, PAGE, Bounds, Part, Trees
from ._words import moment, shown

SPACES = 300
"""Spaces on a page (a guess)."""
COMMITS = 200
"""Commits on a page (a guess)."""
TEXT_CHARS = 200_000
"""Of a text on a page of its own (a guess: browsers lay out as much at once)."""
_RUN = re.compile(r"\.rlm-[0-9a-f]{8}$")


@cache
def templates() -> jinja2.Environment:
    """The templates of the pages."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("rlm_mcp.view", "pages"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=shown,
    )
    environment.filters |= {"moment": moment, "ago": ago_text, "size": size_text}
    environment.globals |= {"counted": counted}
    return environment


@dataclass(frozen=True, slots=True)
class Listed:
    """A space in the list of all.

    Args:
        row: as the store knows it.
        depth: how many forks lie between it and a space that is none.
        doing: what it is doing, in a word.
        spent: what it spent, in words.
        runs: recursive runs below it that are not listed.
    """

    row: SpaceRow
    depth: int
    doing: str
    spent: str
    runs: int


@dataclass(frozen=True, slots=True)
class Call:
    """What a space has of a call.

    Args:
        id: of its tree.
        outer: what it is a part of in another space, or `None`.
        outer_label: what that was about.
        tops: the parts of it.
        left: how many more there are.
    """

    id: str
    outer: SpanRow | None
    outer_label: str
    tops: list[Shown]
    left: int


class Pages:
    """Makes pages of a store.

    Args:
        reader: of it.
        texts: whether to show texts, or only how long they were.
    """

    def __init__(self, reader: StoreReader, *, texts: bool) -> None:
        self._reader = reader
        self._texts = texts

    # Each returns what its template is given. --------------------------------------------

    def spaces(self, *, runs: bool, offset: int) -> dict[str, Any]:
        """All spaces, forks below what they were forked from.

        Args:
            runs: whether to list the forks that recursive runs worked on.
            offset: how many are passed over.
        """
        rows = self._reader.spaces()
        running, spending = self._reader.running(), self._reader.spending()
        listed = _as_forest(rows, runs=runs)
        return {
            "spaces": [
                Listed(
                    row, depth, self._doing(row.handle, running),
                    _spent_text(spending.get(row.handle)), hidden,
                )
                for row, depth, hidden in listed[offset : offset + SPACES]
            ],
            "total": len(rows), "listed": len(listed), "runs": runs, "offset": offset,
            "next": offset + SPACES if offset + SPACES < len(listed) else None,
        }  # fmt: skip

    def space(self, handle: str, *, beyond: str | None, oldest_first: bool) -> dict[str, Any]:
        """A space, and what happened in it.

        Args:
            handle: of the space.
            beyond: the tree that the calls come after; from the first on if left out.
            oldest_first: their order.

        Raises:
            SpaceError: there is no such space.
        """
        steps = self._reader.steps(handle)
        about = self.about(handle, steps)
        found, total = self._reader.trees(
            handle, PAGE.calls + 1, beyond=beyond, oldest_first=oldest_first
        )
        return about | {
            "calls": self._calls(about["space"], steps, found[: PAGE.calls], PAGE),
            "total": total, "oldest_first": oldest_first, "beyond": beyond,
            "next": found[PAGE.calls - 1] if len(found) > PAGE.calls else None,
        }  # fmt: skip

    def file(self, handle: str, bounds: Bounds) -> dict[str, Any]:
        """A space and the newest calls in it, the oldest first; they are read when their turn
        comes.

        Args:
            handle: of the space.
            bounds: of what is shown.

        Raises:
            SpaceError: there is no such space.
        """
        steps = self._reader.steps(handle)
        about = self.about(handle, steps)
        found, total = self._reader.trees(handle, bounds.calls)

        def calls() -> Iterator[Call]:
            for tree in reversed(found):
                yield from self._calls(about["space"], steps, [tree], bounds)

        return about | {"calls": calls(), "total": total, "shown": len(found)}

    def about(self, handle: str, steps: list[Step]) -> dict[str, Any]:
        """What is known of a space beside what happened in it.

        Raises:
            SpaceError: there is no such space.
        """
        row = self._reader.space(handle)
        if row is None:
            raise SpaceError(f"there is no space `{handle}`; it may have been deleted")
        spent = self._reader.spending().get(handle)
        return {
            "space": row, "doing": self._doing(handle, self._reader.running()),
            "origin_is_there": bool(row.origin) and self._reader.space(row.origin) is not None,
            "forks": self._reader.forks(handle), "spent": _spent_text(spent), "kept": len(steps),
            "checkpoints": self._reader.checkpoints(handle) if self._texts else {},
        }  # fmt: skip

    def commits(self, handle: str, *, offset: int) -> dict[str, Any]:
        """The commits of a space, the newest first.

        Raises:
            SpaceError: there is no such space.
        """
        steps = self._reader.steps(handle)
        names: dict[int, list[str]] = {}
        for name, number in self._reader.checkpoints(handle).items():
            names.setdefault(number, []).append(name)
        return self.about(handle, steps) | {
            "steps": steps[offset : offset + COMMITS], "names": names, "texts": self._texts,
            "offset": offset, "page": 4096,
            "next": offset + COMMITS if offset + COMMITS < len(steps) else None,
        }  # fmt: skip

    def span(self, number: str, *, after: str, status: str | None) -> dict[str, Any]:
        """One span with its parts.

        Args:
            number: its id.
            after: the id that the parts come after.
            status: of the parts; any if left out.

        Raises:
            SpaceError: it is no longer in the record.
        """
        span = self._span(number)
        trees = Trees(self._reader, ONE)
        span = trees.seen(span)
        parts, more = trees.parts_of(span, after, status)
        row = self._reader.space(span.space)
        steps = self._reader.steps(span.space)
        whole = Part(span, parts)
        marks = self._marks(row, steps, [whole]) if row is not None else {}
        found = Manner(ONE.chars, self._texts).show(whole, marks)
        if self._texts:
            found = replace(found, texts=Manner(TEXT_CHARS, self._texts).texts_of(span))
        outer = self._reader.span(span.parent) if span.parent is not None else None
        return {
            "part": found, "outer": outer, "outer_title": title_of(outer) if outer else "",
            "asked": trees.asked(span), "after": after, "status": status,
            "next": parts[-1].span.id if more else None,
        }  # fmt: skip

    def text(self, number: str, name: str, *, begin: int) -> dict[str, Any]:
        """One text of a span, as far as it is recorded.

        Args:
            number: the span's id.
            name: of the text.
            begin: the character to begin with.

        Raises:
            SpaceError: it is not in the record, or not to be shown.
        """
        span = self._span(number)
        text = span.detail.get(name) if self._texts and name in TEXTS else None
        if not isinstance(text, str):
            raise SpaceError("this text is not in the record, or texts are not shown")
        end = begin + TEXT_CHARS
        return {
            "span": span, "name": name, "text": text[begin:end], "begin": begin, "end": end,
            "chars": len(text), "next": end if end < len(text) else None,
        }  # fmt: skip

    # ---------------------------------------------------------------------------------------

    def _span(self, number: str) -> SpanRow:
        span = self._reader.span(number)
        if span is None:
            raise SpaceError("this is no longer in the record: its space was deleted, or it is old")
        return span

    def _calls(
        self, space: SpaceRow, steps: list[Step], found: Iterable[str], bounds: Bounds
    ) -> list[Call]:
        trees = Trees(self._reader, bounds)
        calls = [(tree, *trees.call(space.handle, tree)) for tree in found]
        manner = Manner(bounds.chars, self._texts)
        marks = self._marks(space, steps, (part for _, parts, _ in calls for part in parts))
        return [
            self._call(tree, parts, left, manner, marks) for tree, parts, left in calls if parts
        ]

    def _call(
        self, tree: str, parts: list[Part], left: int, manner: Manner, marks: dict[str, Mark]
    ) -> Call:
        parent = parts[0].span.parent
        outer = self._reader.span(parent) if parent is not None else None
        label = manner.show(Part(outer), {}).label if outer is not None else ""
        tops = [manner.show(part, marks) for part in parts]
        return Call(tree, outer, label, tops, left)

    def _marks(self, space: SpaceRow, steps: list[Step], parts: Iterable[Part]) -> dict[str, Mark]:
        return marks_of(space, steps, (below.span for part in parts for below in part.all()))

    def _doing(self, handle: str, running: set[str]) -> str:
        if not self._reader.held(handle):
            return ""
        return "running" if handle in running else "open"


def _as_forest(rows: list[SpaceRow], *, runs: bool) -> list[tuple[SpaceRow, int, int]]:
    """Spaces in the order in which they are listed, each with its depth and its hidden runs.

    What was used last comes first, with all that it belongs to.
    """
    known = {row.handle: row for row in rows}
    below: dict[str, list[SpaceRow]] = {}
    tops: dict[str, SpaceRow] = {}
    for row in rows:
        top = row
        while (origin := _origin(top, known)) is not None:
            top = origin
        tops.setdefault(top.handle, top)
        if top is not row:
            below.setdefault(row.origin, []).append(row)
    ordered: list[tuple[SpaceRow, int, int]] = []
    waiting = [(top, 0) for top in reversed(tops.values())]
    while waiting:
        row, depth = waiting.pop()
        listed, hidden = _listed_below(row, below, runs=runs)
        ordered.append((row, depth, hidden))
        waiting += [(fork, depth + 1) for fork in reversed(listed)]
    return ordered


def _listed_below(
    row: SpaceRow, below: dict[str, list[SpaceRow]], *, runs: bool
) -> tuple[list[SpaceRow], int]:
    """The forks that stand below a space, and how many of runs do not: what was forked from those
    stands in their place."""
    listed: list[SpaceRow] = []
    hidden = 0
    waiting = below.get(row.handle, [])[::-1]
    while waiting:
        fork = waiting.pop()
        if runs or not _is_run(fork):
            listed.append(fork)
        else:
            hidden += 1
            waiting += below.get(fork.handle, [])[::-1]
    return listed, hidden


def _origin(row: SpaceRow, known: dict[str, SpaceRow]) -> SpaceRow | None:
    """What a space was forked from, and not a later space of the same name."""
    found = known.get(row.origin)
    return found if found is not None and found.created < row.created else None


def _is_run(row: SpaceRow) -> bool:
    """Whether a space is, by its name, the fork that a recursive run worked on."""
    return _RUN.search(row.handle) is not None


def _spent_text(spent: Spending | None) -> str:
    if spent is None or not (spent.calls or spent.cached or spent.failed):
        return ""
    words = [counted(spent.calls, "call")]
    words += [f"{spent.failed:,} failed"] if spent.failed else []
    words += [f"{spent.cached:,} known"] if spent.cached else []
    price = spent.usd if spent.usd or not spent.unpriced else None
    words += spent_texts(spent.input_tokens, spent.output_tokens, price)
    if spent.unpriced and price is not None:
        words.append(f"{spent.unpriced:,} of unknown price")
    return ", ".join(words)
