"""A home on a disk that is really full, where this machine lets a test have a small one."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from rlm_mcp.errors import StoreError
from rlm_mcp.lm import ScriptedModel
from rlm_mcp.settings import Settings
from rlm_mcp.store import Store

from ..conftest import Connect
from ..recursion._roots import RootModel, code

pytestmark = pytest.mark.anyio

SIZE_MB = 640
"""Of the disk: the artefact (copied to it, as it lies on another), a base image, two forks."""


class Disk:
    """A file system of its own, filled up by a file.

    Args:
        folder: where it is mounted.
    """

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self._filler = folder / "filler"

    def fill(self) -> None:
        """Leave not a byte."""
        with self._filler.open("ab", buffering=0) as file, contextlib.suppress(OSError):
            for size in (1 << 20, 1 << 12):
                with contextlib.suppress(OSError):
                    while file.write(bytes(size)) == size:
                        pass

    def make_room(self) -> None:
        """Remove what filled it."""
        self._filler.unlink()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    folder = tmp_path / "disk"
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={SIZE_MB}m", "tmpfs", str(folder)]
    with contextlib.suppress(OSError):
        if subprocess.run(["mount", *options], capture_output=True).returncode == 0:
            try:
                yield Disk(folder)
            finally:
                subprocess.run(["umount", "-l", str(folder)], check=True)
            return
    pytest.skip("needs the right to mount a file system")


async def test_answers_reach_the_code_and_are_counted_though_nothing_can_be_written(
    connect: Connect, disk: Disk, settings: Settings
) -> None:
    model = ScriptedModel(lambda request: f"<{request.prompt.text}>" * 3_000)
    ask = "len(sub_llm_map([str(i) for i in range(20)]))"
    async with connect(model, home=disk.home, max_calls=45) as agent:
        await agent.run("x = 1")
        await agent.run("sub_llm('before')[:8]")
        disk.fill()
        reply = await agent.run(ask)
        assert "=> 20" in reply
        assert "left of the budget: 24 calls; answers are not on the disk yet: the disk" in reply
        asked = await agent.call("sub_llm", prompt="one", into="one")
        assert not asked.failed and "RLM_MCP_HOME is full" in asked.text
        # What cannot be written is known all the same, and the budget knows of all.
        assert "left of the budget: 23 calls" in await agent.run(ask)
        other = ask.replace("range(20)", "range(100, 123)")
        assert "left of the budget: 0 calls" in await agent.run(other)
        other = other.replace("100", "99")
        assert "has made 45 of 45" in await agent.fails("exec_code", code=f"x = 2; {other}")
        with pytest.raises(StoreError, match="full"):
            Store(disk.home / "other")
        disk.make_room()
        assert "=> 2" in await agent.run("x")
        info = (await agent.call("spaces", action="info")).text
        assert "spent: 45 sub-LLM calls" in info
    async with connect(model, home=disk.home, max_calls=45) as agent:
        assert "=> (2, 24000)" in await agent.run("x, len(sub_llm('before'))")
        assert "=> 20" in await agent.run(ask)  # written when there was room again
        assert "has made 45 of 45" in await agent.fails("exec_code", code="sub_llm('more')")
    disk.fill()
    with pytest.RaisesGroup(StoreError, allow_unwrapped=True, flatten_subgroups=True) as caught:
        async with connect(model, home=disk.home):
            pass
    assert "the disk of RLM_MCP_HOME is full; make room" in repr(caught.value)
    disk.make_room()
    async with connect(model, home=disk.home) as agent:
        assert "=> 2" in await agent.run("x")


async def test_a_run_on_a_disk_that_fills_up_hands_its_answer_over(
    connect: Connect, disk: Disk
) -> None:
    def fill(_request: object) -> str:
        disk.fill()
        return code("found = sub_llm('what is it?')", "SUBMIT(found)")

    model = RootModel(code("y = list(range(1000))"), fill)
    async with connect(model, home=disk.home) as agent:
        await agent.run("x = 1")
        reply = await agent.call("sub_rlm", question="What?", into="answer")
        assert not reply.failed, reply.text
        assert "3 sub-LLM calls" in reply.text
        assert "=> '<what is it?>'" in await agent.run("answer")
        disk.make_room()
        assert "=> (1, '<what is it?>')" in await agent.run("x, answer")
    async with connect(model, home=disk.home) as agent:
        assert "=> (1, '<what is it?>')" in await agent.run("x, answer")
