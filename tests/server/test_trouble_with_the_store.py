"""A full disk, a damaged store, an unwritable home, as the agent sees them."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from rlm_mcp.errors import StoreError
from rlm_mcp.settings import Settings
from rlm_mcp.space import Limits

from ..conftest import Connect

pytestmark = pytest.mark.anyio


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Holds whether the disk is full."""
    full = [False]
    write = os.pwrite

    def pwrite(descriptor: int, data: Any, offset: int, /) -> int:
        if full[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, data, offset)

    monkeypatch.setattr(os, "pwrite", pwrite)
    return full


async def test_with_a_full_disk_the_space_goes_on_and_says_what_is_not_saved(
    connect: Connect, disk: list[bool]
) -> None:
    async with connect() as agent:
        await agent.run("x = 1")
        await agent.run("1")
        disk[0] = True
        await agent.run("x = 2; y = 'not saved'")
        reply = await agent.run("x += 1; x")
        assert "=> 3" in reply
        assert "not saved" in reply
        assert "full" in reply
        text = await agent.fails("spaces", action="info")
        assert "full" in text
        assert "=> 4" in await agent.run("x += 1; x")
        assert "int 4" in (await agent.call("peek", target="x")).text
        disk[0] = False
        assert "=> 5" in await agent.run("x += 1; x")
        assert "full" not in await agent.run("1")
    async with connect() as agent:
        assert "=> (5, 'not saved')" in await agent.run("x, y")


async def test_what_was_not_saved_is_lost_with_the_server_and_nothing_else(
    connect: Connect, disk: list[bool]
) -> None:
    async with connect() as agent:
        await agent.run("x = 'saved'")
        await agent.run("1")
        disk[0] = True
        await agent.run("x = 'lost'")
    disk[0] = False
    async with connect() as agent:
        assert "=> 'saved'" in await agent.run("x")


async def test_when_replies_wait_for_the_commit_the_reply_itself_says_it_failed(
    connect: Connect, disk: list[bool]
) -> None:
    async with connect(limits=Limits(sync=True)) as agent:
        await agent.run("x = 1")
        disk[0] = True
        assert "execution 2 is not saved" in await agent.run("x = 2")


async def test_damage_is_said_and_the_newest_sound_commit_is_used(
    connect: Connect, settings: Settings
) -> None:
    async with connect() as agent:
        await agent.run("x = 'old'")
    before = segments(settings)
    async with connect() as agent:
        await agent.run("x = 'new'")
    (newest,) = segments(settings) - before
    os.truncate(newest, newest.stat().st_size // 2)
    async with connect() as agent:
        reply = await agent.run("x")
        assert "=> 'old'" in reply
        assert "the store is damaged" in reply
        assert newest.name in reply
        assert "damaged" not in await agent.run("x = 'after'")
    async with connect() as agent:
        reply = await agent.run("x")
        assert "=> 'after'" in reply
        assert "damaged" not in reply


def segments(settings: Settings) -> set[Path]:
    return set((settings.home / "pages").glob("*.pages"))


async def test_a_space_that_cannot_be_read_at_all_does_not_stop_others(
    connect: Connect, settings: Settings
) -> None:
    async with connect() as agent:
        await agent.run("x = 1")
    for path in (settings.home / "pages").glob("*.*"):
        path.unlink()  # another name of it may be in the cache
        path.touch()
    async with connect() as agent:
        text = await agent.fails("exec_code", code="x")
        assert "no commit of this space can be read" in text
        assert 'action="delete"' in text
        await agent.call("spaces", action="open", space="fresh")
        assert "=> 2" in await agent.run("1 + 1", space="fresh")
        await agent.call("spaces", action="delete", space="main")
        assert "=> 3" in await agent.run("1 + 2")


async def test_a_home_that_cannot_be_used_names_the_setting(
    connect: Connect, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.RaisesGroup(StoreError, allow_unwrapped=True, flatten_subgroups=True) as caught:
        async with connect(home=tmp_path / "file" / "home"):
            pass
    assert "RLM_MCP_HOME" in repr(caught.value)


async def test_history_stays_within_its_budget(connect: Connect) -> None:
    async with connect(limits=Limits(history=5)) as agent:
        for index in range(55):
            await agent.run(f"x = {index}")
        assert "=> 54" in await agent.run("x")
    # The store is tidied after every 50 calls, and before the server ends.
    async with connect(limits=Limits(history=5)) as agent:
        info = (await agent.call("spaces", action="info")).text
        assert "=> 54" in await agent.run("x")
    assert info.count("execution ") < 20
