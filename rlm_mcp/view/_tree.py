"""Calls as trees of their parts, bounded however large they are in the record."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from ..store import INTERRUPTED, RUNNING, SpanRow, StoreReader

SUB_LLM = "sub_llm"
"""The kind of span of which there may be thousands in one call."""


DETAIL_BYTES = 1 << 20
"""Of a span beside others. What is recorded has some 100 KB at most."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is shown at once; what lies beyond has a page of its own.

    Args:
        calls: on a page.
        spans: shown of a call.
        parts: shown of one span, beside sub-LLM calls.
        asked: sub-LLM calls of one span up to which each is shown, else they are counted.
        rows: looked at of a call, beside sub-LLM calls.
        depth: of the tree.
        chars: of a text; `None` for all.
    """

    calls: int = 20
    spans: int = 60
    parts: int = 20
    asked: int = 4
    rows: int = 5_000
    depth: int = 30
    chars: int | None = 2_000


PAGE = Bounds()
"""Of a page that lists calls (guesses: it stays below some MB whatever is in the record)."""
ONE = Bounds(calls=50, spans=300, parts=50)
"""Of the page of one span."""
FILE = Bounds(calls=200, spans=2_000, parts=500, asked=500, rows=20_000, depth=40, chars=None)
"""Of a file, which is written call by call."""


@dataclass(slots=True)
class Part:
    """A span and those of its parts that are shown.

    Args:
        span: what happened.
        parts: of it that are shown, in the order in which they began.
        counted: its sub-LLM calls that are not, by status.
        left: how many other parts are not shown.
    """

    span: SpanRow
    parts: list[Part] = field(default_factory=list)
    counted: dict[str, int] = field(default_factory=dict)
    left: int = 0

    def all(self) -> Iterable[Part]:
        """This and all parts below it."""
        waiting = [self]
        while waiting:
            part = waiting.pop()
            yield part
            waiting += part.parts


class Trees:
    """Reads trees of one store for one page.

    Args:
        reader: of the store.
        bounds: of what is shown.
    """

    def __init__(self, reader: StoreReader, bounds: Bounds) -> None:
        self._reader = reader
        self._bounds = bounds
        self._held: dict[str, bool] = {}

    def call(self, space: str, tree: str) -> tuple[list[Part], int]:
        """What belongs to a space in a tree: of a call in that space all, of a run its steps.

        Returns:
            The parts at the top, and how many more there are.
        """
        begin = self._reader.first_of(tree, space)
        if begin is None:
            return [], 0  # removed meanwhile
        rows = self._reader.shape(tree, begin, SUB_LLM, self._bounds.rows)
        included: set[str] = set()
        tops = []
        for row in rows:
            if row.parent in included:
                included.add(row.id)
            elif row.space == space:
                included.add(row.id)
                tops.append(row)
        most = self._bounds.spans
        return self._grow(tops[:most], rows), len(tops[most:])

    def parts_of(self, span: SpanRow, after: str, status: str | None) -> tuple[list[Part], bool]:
        """Direct parts of a span, each with its own.

        Args:
            span: whose parts.
            after: the id that they come after.
            status: theirs; any if left out.

        Returns:
            The parts, and whether there are more.
        """
        most = self._bounds.calls
        # What a server that is gone left behind is running until another has the space.
        wanted = [status, *([RUNNING] if status == INTERRUPTED else [])] if status else None
        found = self._reader.parts({span.id}, statuses=wanted, after=after, limit=most + 1)
        rows = (
            self._reader.shape(span.tree, found[0].id, SUB_LLM, self._bounds.rows) if found else []
        )
        return self._grow(found[:most], rows), len(found) > most

    def asked(self, span: SpanRow) -> dict[str, int]:
        """How many sub-LLM calls are parts of a span, by their status."""
        counts = self._reader.counts(span.tree, span.id, SUB_LLM).get(span.id, {})
        return {self._status(status, span.space): count for status, count in counts.items()}

    def seen(self, span: SpanRow) -> SpanRow:
        """A span as it is: what has not ended is interrupted where no server holds its space."""
        return replace(span, status=self._status(span.status, span.space))

    def _status(self, status: str, space: str) -> str:
        if status != RUNNING:
            return status
        if space not in self._held:
            self._held[space] = self._reader.held(space)
        return RUNNING if self._held[space] else INTERRUPTED

    def _grow(self, tops: Sequence[SpanRow], rows: Sequence[SpanRow]) -> list[Part]:
        """Trees from their tops; the upper levels first, as far as the bounds go."""
        if not tops:
            return []
        below: dict[str | None, list[SpanRow]] = {}
        for row in rows:
            below.setdefault(row.parent, []).append(row)
        roots = [Part(top) for top in tops]
        waiting = deque((root, 1) for root in roots)
        shown, room = {root.span.id: root for root in roots}, self._bounds.spans - len(roots)
        while waiting:
            part, depth = waiting.popleft()
            found = below.get(part.span.id, [])
            most = min(self._bounds.parts, room) if depth < self._bounds.depth else 0
            part.parts = [Part(span) for span in found[: max(most, 0)]]
            part.left = len(found) - len(part.parts)
            room -= len(part.parts)
            shown.update((below_it.span.id, below_it) for below_it in part.parts)
            waiting.extend((below_it, depth + 1) for below_it in part.parts)
        self._add_asked(shown, tops[0])
        details = self._reader.details(shown, DETAIL_BYTES)
        for part in shown.values():
            detail = details.get(part.span.id, {})
            part.span = replace(self.seen(part.span), detail=detail)
        return roots

    def _add_asked(self, shown: dict[str, Part], first: SpanRow) -> None:
        """Add the sub-LLM calls of what is shown: each where they are few, else their number."""
        counts = self._reader.counts(first.tree, first.id, SUB_LLM)
        few = set()
        for number, part in shown.items():
            total = sum(counts.get(number, {}).values())
            if 0 < total <= self._bounds.asked:
                few.add(number)
            elif total:
                part.counted = {
                    self._status(status, part.span.space): count
                    for status, count in counts[number].items()
                }
        if not few:
            return
        limit = self._bounds.asked * len(few)
        for span in self._reader.parts(few, kind=SUB_LLM, limit=limit):
            parent = shown[span.parent or ""]
            parent.parts.append(Part(span))
            shown[span.id] = parent.parts[-1]
        for number in few:
            shown[number].parts.sort(key=lambda part: part.span.id)
