"""However much has happened, a page is small and made from a few rows."""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
from collections.abc import Iterator

import pytest

from rlm_mcp.settings import Settings
from rlm_mcp.store import SpanRow, SpanTable, Store

from .conftest import View, links, text_of

DIGEST = "de2f256064a0af797747c2b97505dc0b9f3df0de4f489eac731c23ae9ca9cc31"


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    """A store with the space `main`."""
    settings.home.parent.mkdir(exist_ok=True)
    image = settings.home.parent / "image"
    image.write_bytes(bytes(1 << 16))
    with contextlib.closing(Store(settings.home)) as store:
        store.create("main", image, DIGEST, 1 << 16, None, "guest")
        yield store


@pytest.fixture
def table(store: Store) -> Iterator[SpanTable]:
    with contextlib.closing(store.spans()) as table:
        yield table


numbers = itertools.count()


def span(
    tree: int, parent: SpanRow | None = None, kind: str = "execution", **detail: object
) -> SpanRow:
    number = f"{tree:032x}-{next(numbers):016x}"
    return SpanRow(
        number, parent.id if parent else None, "main", kind, float(tree), 1.0, "ok", detail
    )


@pytest.mark.usefixtures("store")
def test_a_hundred_thousand_calls_are_read_page_by_page(view: View, settings: Settings) -> None:
    with contextlib.closing(sqlite3.connect(settings.home / "store.sqlite")) as database, database:
        database.execute(
            "WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 99999) "
            "INSERT INTO spans SELECT printf('%032x-%016x', i, 0), NULL, 'main', 'execution', i, "
            "1.0, 'ok', 300, printf('{\"code\": \"call = %d\"}', i) FROM n"
        )
    with view("main") as viewing:
        page = viewing.get()
        assert "100,000 calls, 20 of them here" in text_of(page)
        assert len(page) < 50_000
        assert "call = 99999<" in page and "call = 99980<" in page and "call = 99979<" not in page
        (earlier,) = links(page, "beyond=")
        page = viewing.get(earlier)
        assert "call = 99979<" in page and "call = 99960<" in page and "call = 99980<" not in page
        oldest = viewing.get("?order=oldest")
        assert "call = 0<" in oldest and "call = 19<" in oldest and "call = 20<" not in oldest
        later = viewing.get(links(oldest, "beyond=")[0])
        assert "call = 20<" in later and "call = 39<" in later


def test_a_call_with_very_many_parts_is_shown_in_part(view: View, table: SpanTable) -> None:
    top = span(1, code="for i in range(3000): sub_rlm(...)")
    runs = [span(1, top, "sub_rlm", question=f"question {i}") for i in range(3_000)]
    asked = [span(1, runs[0], "sub_llm", prompt="p" * 6_000) for _ in range(5_000)]
    table.write([top, *runs, *asked])
    with view("main") as viewing:
        page = viewing.get()
        assert "question 19<" in page and "question 20<" not in page
        assert "2,980 further parts" in page
        assert "5,000 sub-LLM calls: 5,000 ok" in text_of(page)
        assert len(page) < 100_000
        page = viewing.get(f"../span/{top.id}?after={runs[2_899].id}")
        assert (
            "question 2900<" in page and "question 2949<" in page and "question 2950<" not in page
        )
        (more,) = links(page, "after=")
        page = viewing.get(f"../span/{top.id}{more}")
        assert "question 2999<" in page and links(page, "after=") == []
        page = viewing.get(f"../span/{runs[0].id}?status=ok")
        assert page.count('class="part') == 50


def test_what_is_nested_very_deeply_is_shown_to_a_depth(view: View, table: SpanTable) -> None:
    rows = [span(1, kind="sub_rlm", question="depth 0")]
    for depth in range(1, 2_000):
        rows.append(span(1, rows[-1], "sub_rlm", question=f"depth {depth}"))
    table.write(rows)
    with view("main") as viewing:
        page = viewing.get()
        assert "depth 29<" in page and "depth 30<" not in page
        assert "1 further part" in page
        deepest = next(link for link in links(page, "/span/") if rows[29].id in link)
        assert "depth 1500<" not in viewing.get(deepest)
        assert "depth 45<" in viewing.get(deepest)


def test_a_text_of_ten_megabytes_is_shown_in_pieces(view: View, table: SpanTable) -> None:
    large = "0123456789" * 1_000_000
    table.write([span(1, code="x", output=large, output_chars=len(large)), span(2, code="after")])
    with view("main") as viewing:
        page = viewing.get()
        assert "after" in page and "too large to be shown among others" in page
        assert len(page) < 50_000
        page = viewing.get(links(page, "/span/")[1])
        assert "10,000,000 characters, the beginning" in text_of(page)
        (whole,) = links(page, "/text/")
        page = viewing.get(whole)
        assert 200_000 < len(page) < 210_000
        assert "10,000,000 characters recorded, here from 0 on" in text_of(page)
        page = viewing.get(f"{whole}?begin=9999990")
        assert "0123456789</pre>" in page and links(page, "begin=") == []


def test_a_thousand_forks_of_forks_are_listed_in_pages(view: View, store: Store) -> None:
    for number in range(400):
        store.fork("main" if number == 0 else f"fork-{number - 1}", f"fork-{number}")
    with view() as viewing:
        page = viewing.get()
        assert "401 spaces" in text_of(page)
        assert ">fork-298<" in page and ">fork-299<" not in page
        (more,) = links(page, "offset=")
        page = viewing.get(more)
        assert ">fork-299<" in page and ">fork-399<" in page and links(page, "offset=") == []
