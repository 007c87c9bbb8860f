"""A worker that an attacker has taken over, and what it says to the server."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rlm_mcp.lm import ScriptedModel
from rlm_mcp.sandbox import WorkerPool, WorkerProcess
from rlm_mcp.space import Limits

from ..conftest import LATE, Connect

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parents[2]

FRAMES = [
    "die", "close", "say nothing", "half a frame", "huge header", "huge body", "no JSON",
    "no object", "deep", "number", "to nothing", "to itself", "descriptors",
]  # fmt: skip
TURN = [
    *FRAMES, "twice", "calls", "calls and replies", "calls and never reads", "failed of every type",
    "an error of every type", "results of every type", "result of 60 MB",
]  # fmt: skip
COLLECT = [
    "die", "half a frame", "huge body", "deep", "to itself", "descriptors",
    "runs that overlap", "runs out of order", "runs beyond the end", "empty runs",
    "eight million runs", "half a run", "no size", "size text", "size true", "size huge",
    "size none", "size less", "size odd", "size more", "clock", "short scratch",
    "scratch cut while it is read", "an error of every type",
]  # fmt: skip
OTHERS = [
    *(f"open: {deed}" for deed in ("die", "say nothing", "no JSON", "an error of every type")),
    *(f"adopt: {deed}" for deed in ("die", "say nothing", "no object", "an error of every type")),
]

SHORT = {
    "rlm_mcp.sandbox._guest.STEP_SECONDS": 1.0,
    "rlm_mcp.sandbox._stop.GRACE_SECONDS": 0.2,
    "rlm_mcp.space._turns.QUICK_SECONDS": 0.5,
}
"""How long a worker that says nothing is waited for."""


class Workers:
    """Puts fakes in the place of the workers that spaces take."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder = folder
        self._patch = monkeypatch
        self._short = pytest.MonkeyPatch()
        self._take = WorkerPool.take
        # One is kept warm in the background, which must not become a fake by chance.
        self._one_at_a_time = asyncio.Lock()
        start = WorkerPool._start

        async def start_true(pool: WorkerPool) -> WorkerProcess:
            async with self._one_at_a_time:
                return await start(pool)

        monkeypatch.setattr(WorkerPool, "_start", start_true)

    def fake(self, how: str) -> None:
        """From now on a worker is one that behaves like this, and not waited for long."""
        for name, seconds in SHORT.items():
            self._short.setattr(name, seconds)
        script = self._folder / "fake"
        script.write_text(
            f"#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -c "
            f'"from tests.hostile._fake_worker import main; main({how!r})" $4\n'
        )
        script.chmod(0o700)

        async def take(_pool: WorkerPool) -> WorkerProcess:
            async with self._one_at_a_time:
                with pytest.MonkeyPatch.context() as patch:
                    patch.setattr("rlm_mcp.sandbox._process.sys.executable", str(script))
                    return await WorkerProcess.start(script, script)

        self._patch.setattr(WorkerPool, "take", take)

    def true(self) -> None:
        """From now on workers are true, and have the time that they have."""
        self._short.undo()
        self._patch.setattr(WorkerPool, "take", self._take)


@pytest.fixture
def workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workers]:
    workers = Workers(tmp_path, monkeypatch)
    yield workers
    workers.true()


@pytest.mark.parametrize(
    "hows",
    [
        [f"turn: {deed}" for deed in TURN],
        [f"collect: {deed}" for deed in COLLECT],
        OTHERS,
    ],
    ids=["turn", "collect", "others"],
)
async def test_a_lying_worker_is_ended_and_its_space_goes_on(
    connect: Connect, workers: Workers, hows: list[str]
) -> None:
    model = ScriptedModel(lambda request: "ok")
    async with connect(model=model, limits=Limits(memory_mb=512)) as agent:
        await agent.run("kept = 41")
        await agent.call("spaces", action="close", space="main")
        before = 0
        for index, how in enumerate(hows):
            workers.fake(how)
            await agent.call("spaces", action="open", space="main")
            begin = time.monotonic()
            reply = await agent.call("exec_code", code="kept = 0", timeout_s=0.4)
            await agent.call("peek", target="kept")
            assert time.monotonic() - begin < LATE, how
            assert "the server failed" not in reply.text, (how, reply.text)
            workers.true()
            await agent.call("spaces", action="close", space="main")
            await agent.call("spaces", action="open", space="main")
            for _ in range(3):
                reply = await agent.call("exec_code", code="kept")
                if "=> 41" in reply.text:
                    break
                # A worker that lies about its own pages spoils its own space: taken back.
                await agent.call("spaces", action="undo")
            assert "=> 41" in reply.text, (how, reply.text)
            await agent.call("spaces", action="close", space="main")
            open_now = descriptors()
            if index == 1:
                before = open_now
            assert index < 2 or open_now <= before + 3, (how, before, open_now)


async def test_a_worker_that_does_not_start_is_an_error_and_no_hang(
    connect: Connect, workers: Workers
) -> None:
    for deed in (
        "die",
        "close",
        "say nothing",
        "huge header",
        "no JSON",
        "no object",
        "to nothing",
    ):
        workers.fake(f"start: {deed}")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("rlm_mcp.sandbox._process.START_SECONDS", 1.0)
            async with connect() as agent:
                begin = time.monotonic()
                assert "did not start" in await agent.fails("exec_code", code="1")
                assert time.monotonic() - begin < LATE, deed
    workers.true()
    async with connect() as agent:
        assert "=> 2" in await agent.run("1 + 1")


def descriptors() -> int:
    """How many this process has open, where the system says so."""
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.exists() else 0
