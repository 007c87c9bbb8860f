"""The record in the store: bounded, the oldest trees first; whole for what is still written."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from rlm_mcp.store import INTERRUPTED, RUNNING, SpanRow, SpanTable

from .conftest import Home

KB = 1024


@pytest.fixture
def table(home: Home) -> Iterator[SpanTable]:
    """A record of at most 100 KB."""
    home.create("main")
    with contextlib.closing(home.store.spans(100 * KB)) as table:
        yield table


def span(tree: int, number: int, status: str = "ok", space: str = "main") -> SpanRow:
    """A span of about 1 KB; number 0 is the top of its tree."""
    parent = f"{tree:032x}-{0:016x}" if number else None
    seconds = None if status == RUNNING else 1.0
    return SpanRow(
        f"{tree:032x}-{number:016x}", parent, space, "x", float(tree), seconds, status,
        {"text": "t" * 700},
    )  # fmt: skip


def size_of(table: SpanTable) -> int:
    trees, _ = table.trees("main")
    return sum(1 for tree in trees for _ in table.of_tree(tree)) * 1010


def test_the_oldest_trees_leave_whole(table: SpanTable) -> None:
    for tree in range(100):
        table.write([span(tree, number) for number in range(5)])
    trees, total = table.trees("main")
    assert 10 <= total <= 21
    assert [int(tree, 16) for tree in trees] == list(range(100 - total, 100))
    assert all(len(list(table.of_tree(tree))) == 5 for tree in trees[1:])
    assert size_of(table) <= 104 * KB


def test_a_tree_that_is_being_written_keeps_its_top_and_its_newest_parts(
    table: SpanTable,
) -> None:
    table.write([span(0, 0), span(1, 0, RUNNING)])
    for number in range(1, 1000):
        table.write([span(1, number)])
    table.write([span(1, 0)])
    trees, _ = table.trees("main")
    assert [int(tree, 16) for tree in trees] == [1]
    kept = list(table.of_tree(trees[0]))
    assert kept[0].parent is None and kept[0].status == "ok"
    assert kept[-1].id.endswith(f"{999:016x}")
    assert 50 <= len(kept) <= 104
    assert size_of(table) <= 104 * KB


def test_a_record_that_is_too_large_already_is_brought_within_its_bound(home: Home) -> None:
    home.create("main")
    with contextlib.closing(home.store.spans()) as large:
        large.write([span(tree, 0) for tree in range(300)])
    with contextlib.closing(home.store.spans(100 * KB)) as table:
        table.write([span(300, 0)])
        assert size_of(table) <= 104 * KB
        assert [int(tree, 16) for tree in table.trees("main", 2)[0]] == [299, 300]


def test_what_was_not_ended_is_interrupted_once_the_space_is_held_again(home: Home) -> None:
    writer = home.create("main")
    with contextlib.closing(home.store.spans()) as table:
        table.write([span(1, 0, RUNNING), span(1, 1, RUNNING), span(2, 0)])
        assert home.store.held("main")
        writer.release()
        assert not home.store.held("main")
        home.store.hold("main").release()
        (first, second) = table.trees("main")[0]
        assert [row.status for row in table.of_tree(first)] == [INTERRUPTED] * 2
        assert [row.status for row in table.of_tree(second)] == ["ok"]


def test_spans_of_spaces_that_are_not_there_are_not_kept(home: Home) -> None:
    writer = home.create("main")
    with contextlib.closing(home.store.spans()) as table:
        table.write([span(1, 0), span(2, 0, space="other")])
        assert table.trees("other") == ([], 0)
        writer.release()
        home.store.delete("main")
        table.write([span(1, 1)])
        assert table.trees("main") == ([], 0)
        home.create("main")
        assert table.trees("main") == ([], 0)
