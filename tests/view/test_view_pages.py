"""What a person sees who looks: spaces, calls with all that they led to, and what is going on."""

from __future__ import annotations

import asyncio
import contextlib
import re
import sqlite3
from pathlib import Path

import pytest

from rlm_mcp.lm import Answer, Request, ScriptedModel
from rlm_mcp.settings import Settings
from rlm_mcp.store import Store

from ..conftest import Connect
from .conftest import View, links, text_of

pytestmark = pytest.mark.anyio


def articles(page: str) -> list[str]:
    """The calls of a space's page, as readers see them."""
    return [text_of(part) for part in re.findall(r"<article.*?</article>", page, re.S)]


def alone(page: str, says: str) -> str:
    """The address of the page of the one call that says something."""
    (found,) = (part for part in re.findall(r"<article.*?</article>", page, re.S) if says in part)
    return links(found, "/span/")[-1]


@pytest.mark.usefixtures("history")
async def test_the_spaces_are_listed_as_a_tree_with_what_they_spent(
    view: View, settings: Settings
) -> None:
    with contextlib.closing(Store(settings.home)) as store:
        (run,) = (row.handle for row in store.spaces() if row.handle.count(".rlm-") == 1)
        store.fork(run, "from-the-run")
    with view() as viewing:
        page = viewing.get()
        assert "5 spaces" in text_of(page)
        rows = [text_of(row) for row in re.findall(r"<tr id.*?</tr>", page, re.S)]
        assert len(rows) == 3  # those of runs are counted
        assert sum("trial" in row or "from-the-run" in row for row in rows) == 2
        (main,) = (row for row in rows if "main" in row)
        assert "2 runs" in main and "74 calls, 1 known" in main and "tokens" in main
        assert 'class="depth1"' in page and "trial" in page
        (more,) = links(page, "runs=1")
        assert len(re.findall(r"main\.rlm-[0-9a-f]{8}</a>", viewing.get(more))) == 1
        assert 'class="depth2"' in viewing.get(more)


@pytest.mark.usefixtures("history")
async def test_a_space_shows_what_was_done_and_what_it_came_to(view: View) -> None:
    with view("main") as viewing:
        assert viewing.url.endswith("/space/main")
        page = viewing.get()
        last, undo, deleted, fork, run, known, many, evil, failed, first = articles(page)
        assert "10 calls, the newest first" in text_of(page)
        assert "kept = [1, 2, 3]" in first and "printed" in first and "execution 1 ok" in first
        assert "+ kept: list 3 items" in first
        assert "execution 2 failed" in failed and "ZeroDivisionError" in failed
        assert "evil = " in evil
        assert "70 sub-LLM calls: 70 ok" in many and "70 calls" in many
        assert "known, not paid for" in known and "question 3" in known
        assert "recursive run" in run and "what is above?" in run
        assert "space trial is a fork of main" in fork
        assert "commit" in deleted and "undone" in deleted
        assert "undone: 'del kept'" in undo
        assert "execution 7 ok" in last and "undone" not in last
        oldest = viewing.get(links(page, "order=oldest")[0])
        assert articles(oldest) == articles(page)[::-1]


@pytest.mark.usefixtures("history")
async def test_commits_say_which_state_was_left(view: View) -> None:
    with view("main") as viewing:
        (link,) = links(viewing.get(), "/commits")
        page = viewing.get(link)
        rows = [text_of(row) for row in re.findall(r"<tr id.*?</tr>", page, re.S)]
        assert "the present state" in rows[0] and "print('x' * 5_000)" in rows[0]
        (left,) = (row for row in rows if "del kept" in row)
        assert "undone" in left
        assert sum("undone" in row for row in rows) == 1


@pytest.mark.usefixtures("history")
async def test_what_was_undone_is_said_to_be_when_its_commit_is_gone(
    view: View, settings: Settings
) -> None:
    with contextlib.closing(Store(settings.home)) as store:
        assert store.tidy(entries=100, size=1 << 40).commits
    with view("main") as viewing:
        page = viewing.get()
        (deleted,) = (part for part in articles(page) if "- kept" in part)
        assert "undone" in deleted and "commit" not in deleted
        (link,) = links(page, "/commits")
        assert "del kept" not in text_of(viewing.get(link))
        first = articles(page)[-1]
        assert "commit" in first and "undone" not in first


@pytest.mark.usefixtures("history")
async def test_runs_are_followed_as_deep_as_they_go(view: View) -> None:
    with view("main") as viewing:
        page = viewing.get()
        forks = dict.fromkeys(links(page, "/space/main.rlm-"))
        below = viewing.get(alone(page, "what is above?"))
        assert "what is below?" in below and "SUBMIT(&#39;deep&#39;)" in below
        inner = viewing.get(next(a for a in links(below, "/space/") if a.count(".rlm-") == 2))
        assert "part of a recursive run in space main.rlm-" in text_of(inner)
        assert "fork of" in text_of(inner) and "SUBMIT('deep')" in text_of(inner)
        # And back up to what asked.
        up = viewing.get(links(inner, "/span/")[0])
        assert "<h1>recursive run</h1>" in up and "what is below?" in up
        assert forks


@pytest.mark.usefixtures("history")
async def test_many_calls_have_pages_of_their_own(view: View) -> None:
    with view("main") as viewing:
        address = alone(viewing.get(), "70 sub-LLM calls")
        page = viewing.get(address)
        assert page.count('class="part good"') == 50
        assert "question 0" in page and "<question 49>" in text_of(page)
        (more,) = links(page, "after=")
        rest = viewing.get(address + more)
        assert rest.count('class="part good"') == 20
        assert "question 69" in rest and links(rest, "after=") == []
        assert "question 0" not in text_of(rest).partition("Its parts")[2]


@pytest.mark.usefixtures("history")
async def test_long_texts_are_cut_with_a_way_to_the_whole(view: View) -> None:
    with view("main") as viewing:
        page = viewing.get()
        assert "x" * 2_000 in page and "x" * 2_001 not in page
        assert "5,001 characters, the beginning" in text_of(page)
        (whole,) = (link for link in links(page, "/text/") if link.endswith("output"))
        assert "x" * 5_000 in viewing.get(whole)
        assert "not in the record" in viewing.get(whole.replace("output", "answer"), 404)


class Waiting(ScriptedModel):
    """Answers when it is let."""

    def __init__(self) -> None:
        super().__init__(["done"])
        self.go = asyncio.Event()

    async def ask(self, request: Request) -> Answer:
        await self.go.wait()
        return await super().ask(request)


async def test_what_runs_is_seen_while_it_runs_and_pages_are_sent_again_only_when_it_goes_on(
    view: View, connect: Connect
) -> None:
    model = Waiting()
    async with connect(model) as agent:
        await agent.run("x = 1")
        with view("main") as viewing:
            async with asyncio.TaskGroup() as group:
                group.create_task(agent.run("sub_llm('wait')"))
                page = ""
                while "sub-LLM call running" not in text_of(page):
                    page = await asyncio.to_thread(viewing.get)
                assert '<dd class="running">running</dd>' in page
                assert 'class="running">running</td>' in await asyncio.to_thread(viewing.get, "../")
                status = 200
                while status == 200:  # what is recorded of the call may not be all there yet
                    (stamp,) = re.findall(r'data-stamp="([^"]*)"', page)
                    answer = await asyncio.to_thread(viewing.ask, **{"If-None-Match": stamp})
                    status, page = answer.status_code, answer.text
                assert (status, page) == (304, "")
                model.go.set()
            while "sub-LLM call ok" not in text_of(page):
                page = await asyncio.to_thread(viewing.get, "", 200, **{"If-None-Match": ""})
            assert stamp not in page
            assert "open in a server" in page
            # It looks, and does not stand in the way of who has the space.
            assert "=> 2" in await agent.run("x + 1")


async def test_what_a_server_did_not_live_to_end_is_interrupted(
    view: View, connect: Connect, settings: Settings
) -> None:
    async with connect() as agent:
        await agent.run("x = 1")
    with sqlite3.connect(settings.home / "store.sqlite") as database:
        database.execute("UPDATE spans SET status = 'running', seconds = NULL")
    lock = settings.home / "locks" / "main.lock"
    with view("main") as viewing:
        assert "execution 1 interrupted" in text_of(viewing.get())
        lock.write_text(str(viewing.process.pid))  # has the number of one that is no server
        assert "execution 1 interrupted" in text_of(viewing.get())


async def test_a_store_that_appears_and_one_that_takes_its_place_are_shown(
    view: View, connect: Connect, settings: Settings, tmp_path: Path
) -> None:
    with view() as viewing:
        assert "No spaces yet" in viewing.get()
        assert not settings.home.exists()
        async with connect() as agent:
            await agent.run("x = 'former'")
        assert "former" in viewing.get("space/main")
        settings.home.rename(tmp_path / "elsewhere")
        assert "No spaces yet" in viewing.get()
        async with connect() as agent:
            await agent.run("x = 'second'")
        page = viewing.get("space/main")
        assert "second" in page and "former" not in page
        assert viewing.end() == 0
