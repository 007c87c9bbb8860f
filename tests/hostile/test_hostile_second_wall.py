# ruff: noqa: ASYNC240 - files of /proc do not block
"""The second wall: what is left to an attacker who has come out of WebAssembly."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ..conftest import PATIENCE, Agent

ROOT = Path(__file__).parents[2]
pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="these walls are those of Linux"),
]
NEEDS_LANDLOCK_ONLY = {
    "open for reading", "open for writing", "create", "list", "unlink", "mkdir", "truncate",
}  # fmt: skip


def test_an_escaped_attacker_reaches_nothing(tmp_path: Path) -> None:
    committed = tmp_path / "committed"
    committed.write_bytes(bytes(8192))
    tmp_path.chmod(0o777)
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        subprocess.Popen(["sleep", "60"]) as victim,
    ):
        try:
            listener.settimeout(0.2)
            command = [sys.executable, "-P", "-m", "tests.hostile._escaped", str(tmp_path)]
            command += [str(victim.pid), str(listener.getsockname()[1])]
            done = subprocess.run(
                command,
                cwd=ROOT,
                env={"PYTHONPATH": str(ROOT)},
                capture_output=True,
                timeout=PATIENCE,
            )
            assert done.returncode == 0, done.stderr.decode()[-2000:]
            found = json.loads(done.stdout)
            assert victim.poll() is None
            with pytest.raises(TimeoutError):
                listener.accept()
        finally:
            victim.kill()
    became, walls = found["became"], found["walls"]
    assert {
        name for name, how in became.items() if name.startswith("may:") and how != "done"
    } == set()
    attempts = {name: how for name, how in became.items() if not name.startswith("may:")}
    if "seccomp" in walls:
        assert {name for name, how in attempts.items() if how == "done"} == set()
    elif "landlock" in walls:
        assert {name for name in NEEDS_LANDLOCK_ONLY if attempts[name] == "done"} == set()
    assert committed.read_bytes() == bytes(8192)
    assert [path.name for path in tmp_path.iterdir()] == ["committed"]


@pytest.mark.anyio
async def test_a_worker_is_behind_the_walls_that_the_kernel_has(agent: Agent) -> None:
    await agent.run("1")
    for pid in workers():
        status = Path(f"/proc/{pid}/status").read_text()
        fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert fields["NoNewPrivs"] == "1"
        if Path("/proc/sys/kernel/seccomp").exists():
            assert fields["Seccomp"] == "2"
        assert Path(f"/proc/{pid}/environ").read_bytes() == b""
        assert Path(f"/proc/{pid}/cwd").readlink() == Path("/")
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            flags = Path(f"/proc/{pid}/fdinfo/{descriptor.name}").read_text().split("flags:")[1]
            target = str(descriptor.readlink())
            writable = int(flags.split()[0], 8) & 3 != os.O_RDONLY
            if writable:
                allowed = target == "/dev/null" or target.startswith(
                    ("socket:", "/memfd:", "anon_")
                )
                assert allowed, f"a worker can write {target}"
        for task in Path(f"/proc/{pid}/task").iterdir():
            assert "Seccomp:\t2" in (task / "status").read_text()


def workers(wait: float = PATIENCE) -> list[int]:
    """The worker processes of this process, all of them at work."""
    end = time.monotonic() + wait
    while True:
        found = []
        for task in Path("/proc/self/task").iterdir():
            found += [int(pid) for pid in (task / "children").read_text().split()]
        lines = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in found]
        threads = [len(list(Path(f"/proc/{pid}/task").iterdir())) for pid in found]
        ours = [pid for pid, line in zip(found, lines, strict=True) if b"rlm_mcp.worker" in line]
        if ours and all(count > 1 for count in threads):
            return ours
        assert time.monotonic() < end, "no worker came up"
        time.sleep(0.05)
