"""`kill -9` at any moment costs nothing that was acknowledged, and tears nothing."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rlm_mcp.sandbox import Cache

from .driver import check

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parents[2]


def run_until_killed(home: Path, cache: Cache, fault: str, rounds: int = 12) -> int:
    """Work until the process dies at a fault point; returns the last acknowledged step."""
    environ = {**os.environ, "RLM_MCP_FAULT": fault}
    command = [sys.executable, "-m", "tests.survival.driver", str(home), str(cache.folder)]
    command += [str(rounds)]
    done = subprocess.run(command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, timeout=100)
    assert done.returncode == -signal.SIGKILL, "the fault point was never reached"
    return last_acknowledged(done.stdout)


def work(home: Path, cache: Cache, rounds: int) -> int:
    """Work without being killed; returns the last acknowledged step."""
    command = [sys.executable, "-m", "tests.survival.driver", str(home), str(cache.folder)]
    command += [str(rounds)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, timeout=100, check=True)
    return last_acknowledged(done.stdout)


def last_acknowledged(output: bytes) -> int:
    lines = [line.split() for line in output.decode().splitlines() if line.startswith("ack ")]
    return int(lines[-1][1]) if lines else 0


@pytest.mark.parametrize(
    "fault",
    [
        "segment:part:3", "commit:pages:1", "commit:pages:4", "commit:row:2", "commit:row:5",
        "commit:done:1", "commit:done:4", "adopt:5", "pack:pages:1", "pack:row:1",
        "sweep:rows:2", "open:mapped:1",
    ],
)  # fmt: skip
async def test_a_kill_at_each_step_loses_nothing_acknowledged(
    tmp_path: Path, sandbox_cache: Cache, fault: str
) -> None:
    if fault.startswith("pack"):
        work(tmp_path, sandbox_cache, 12)  # leaves a segment that is then used sparsely
    acknowledged = run_until_killed(tmp_path, sandbox_cache, fault)
    held = await check(tmp_path, sandbox_cache.folder)
    assert acknowledged <= held <= acknowledged + 1
    # And it goes on from there.
    assert work(tmp_path, sandbox_cache, 2) == held + 2


@pytest.mark.parametrize("victim", ["server", "worker"])
async def test_kills_at_random_moments_lose_nothing_acknowledged(
    tmp_path: Path, sandbox_cache: Cache, victim: str
) -> None:
    chance = random.Random(f"{victim}-1")
    for _ in range(4):
        arguments = [str(tmp_path), str(sandbox_cache.folder), "1000"]
        command = [sys.executable, "-m", "tests.survival.driver", *arguments]
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        with process:
            assert process.stdout is not None
            output = b""
            for _ in range(chance.randrange(1, 12)):
                output += process.stdout.readline()
            target = process.pid if victim == "server" else worker_of(process.pid)
            os.kill(target, signal.SIGKILL)
            if victim == "worker":
                process.terminate()
            output += process.stdout.read()
        held = await check(tmp_path, sandbox_cache.folder)
        assert held >= last_acknowledged(output)


def worker_of(pid: int) -> int:
    """The process id of a worker of a server."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(children[0])
