"""Reading the record of a space: as trees, and as lines to export."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from ..store import INTERRUPTED, RUNNING, SpanRow, SpanTable, Store

_BEGINNING = 200
"""Characters that say what a text is about."""


@dataclass
class Node:
    """A span and its parts, in the order in which they began.

    Args:
        span: what happened.
        parts: of it.
        outer: what it is a part of in another space, at the top of what a space shows.
    """

    span: SpanRow
    parts: list[Node] = field(default_factory=list)
    outer: SpanRow | None = None


def spans_of(store: Store, table: SpanTable, space: str, tree: str) -> Iterator[SpanRow]:
    """The spans of a tree that belong to a space, with their parts in other spaces.

    What has not ended is `interrupted` where no server holds its space any more.
    """
    included: set[str] = set()
    held: dict[str, bool] = {}
    for span in table.of_tree(tree):
        if span.space != space and span.parent not in included:
            continue
        included.add(span.id)
        if span.status == RUNNING:
            if span.space not in held:
                held[span.space] = store.held(span.space)
            if not held[span.space]:
                span = replace(span, status=INTERRUPTED)
        yield span


def read_trees(
    store: Store, table: SpanTable, space: str, limit: int | None, *, texts: bool
) -> tuple[list[Node], int]:
    """The newest trees of a space.

    Args:
        store: that the record is of.
        table: the record.
        space: its handle.
        limit: how many trees; all if left out.
        texts: whether to hold all texts of sub-LLM calls, of which there may be many, or only
            their beginnings.

    Returns:
        Their tops, the oldest first, and how many trees there are in all.
    """
    trees, total = table.trees(space, limit)
    tops: list[Node] = []
    for tree in trees:
        nodes: dict[str | None, Node] = {}
        for span in spans_of(store, table, space, tree):
            if not texts and span.kind == "sub_llm":
                span = replace(span, detail=_beginnings(span.detail))
            node = nodes[span.id] = Node(span)
            parent = nodes.get(span.parent)
            (parent.parts if parent is not None else tops).append(node)
    _find_outer(table, tops)
    return tops, total


def _find_outer(table: SpanTable, tops: list[Node]) -> None:
    """Say of what has its beginning in another space, as the steps of a run, what that was."""
    inner = [top for top in tops if top.span.parent is not None]
    wanted = {top.span.parent for top in inner}
    found: dict[str | None, SpanRow] = {}
    for tree in dict.fromkeys(top.span.tree for top in inner):
        for span in table.of_tree(tree):
            if span.id in wanted:
                found[span.id] = span
    for top in inner:
        top.outer = found.get(top.span.parent)


def _beginnings(detail: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value[:_BEGINNING] if isinstance(value, str) else value
        for name, value in detail.items()
    }


def export_line(span: SpanRow) -> str:
    """A span as one line of JSON; the names are described in docs/trajectories.md.

    Only ASCII, so that a terminal shows it as it is.
    """
    tree, _, number = span.id.partition("-")
    found: dict[str, Any] = {
        "trace": tree,
        "id": number,
        "parent": span.parent.partition("-")[2] if span.parent is not None else None,
        "space": span.space,
        "kind": span.kind,
        "status": span.status,
        "started": round(span.started, 6),
        "seconds": round(span.seconds, 6) if span.seconds is not None else None,
    }
    return json.dumps({**found, "detail": span.detail})
