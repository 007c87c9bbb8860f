"""`rlm-mcp serve` as a process: both eras over its pipes, and clients that go away."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters

from rlm_mcp.settings import Settings

from ..conftest import PATIENCE

pytestmark = pytest.mark.anyio


def command(settings: Settings, cache: str | None = None) -> list[str]:
    return [
        sys.executable, "-c", "from rlm_mcp.cli import main; main()", "serve",
        "--home", str(settings.home), "--cache", cache or str(settings.cache),
        "--allow", str(settings.allow[0]), "--space", "main",
    ]  # fmt: skip


@pytest.mark.parametrize("era", ["auto", "legacy"])
async def test_a_real_server_answers_over_its_pipes(settings: Settings, era: str) -> None:
    program, *arguments = command(settings)
    server = StdioServerParameters(command=program, args=arguments, cwd=settings.allow[0])
    async with Client(server, mode=era) as client:
        assert (client.protocol_version >= "2026") is (era == "auto")
        assert client.server_info is None or client.server_info.name == "rlm-mcp"
        result = await client.call_tool("exec_code", {"code": "print('over a pipe')\n6 * 7"})
        (content,) = result.content
        assert content.type == "text"
        assert "over a pipe\n=> 42" in content.text
        assert not result.is_error


async def test_a_new_server_asks_the_agent_about_long_prompts_in_order_and_all_at_once(
    settings: Settings,
) -> None:
    program, *arguments = command(settings)
    server = StdioServerParameters(
        command=program, args=[*arguments, "--sub-model", "agent"], cwd=settings.allow[0]
    )
    async with Client(server) as client:
        code = "sub_llm_map(['long ' * 10_000, 'short'])"
        result = await client.call_tool("exec_code", {"code": code})
        (content,) = result.content
        assert content.type == "text"
        assert "asks YOU 2 questions" in content.text
        assert "--- q1\nlong long" in content.text
        assert "q2: short" in content.text


@pytest.mark.parametrize("era", ["auto", "legacy"])
async def test_the_handshake_is_answered_while_the_sandbox_is_being_prepared(
    settings: Settings, era: str, tmp_path: Any
) -> None:
    cache = tmp_path / "empty-cache"
    program, *arguments = command(settings, str(cache))
    server = StdioServerParameters(command=program, args=arguments, cwd=settings.allow[0])
    begin = time.monotonic()
    async with Client(server, mode=era) as client:
        tools = await client.list_tools()
        took = time.monotonic() - begin
        assert len(tools.tools) >= 6
    # Compiling takes a minute and a half of CPU; the handshake must not wait for any of it.
    assert took < 40
    assert not list(cache.glob("*.cwasm"))
    until_gone(lambda: [p for p, _, text in processes() if str(cache) in text])


def processes() -> list[tuple[int, int, str]]:
    """The process id, that of the parent, and the command of all processes."""
    listed = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid=,stat=,args="], capture_output=True, text=True, check=True
    )
    found = []
    for line in listed.stdout.splitlines():
        pid, parent, state, text = line.split(None, 3)
        if not state.startswith("Z"):
            found.append((int(pid), int(parent), text))
    return found


def until_gone(left: Callable[[], list[int]], seconds: float = PATIENCE) -> None:
    """Wait for processes to end, and for those that they started meanwhile."""
    deadline = time.monotonic() + seconds
    while found := left():
        for pid in found:
            assert ends(pid, deadline - time.monotonic()), f"still running: {found}"


def ends(pid: int, within: float) -> bool:
    """Whether a process ends in some seconds; its parent may be any."""
    if sys.platform == "linux":
        try:
            process = os.pidfd_open(pid)
        except ProcessLookupError:
            return True
        try:
            return bool(select.select([process], [], [], max(0, within))[0])
        finally:
            os.close(process)
    with contextlib.closing(select.kqueue()) as queue:
        exit_of = select.kevent(
            pid, select.KQ_FILTER_PROC, select.KQ_EV_ADD | select.KQ_EV_ONESHOT, select.KQ_NOTE_EXIT
        )
        try:
            return bool(queue.control([exit_of], 1, max(0, within)))
        except ProcessLookupError:
            return True


@contextlib.contextmanager
def raw_server(settings: Settings) -> Iterator[subprocess.Popen[str]]:
    """A server that is spoken to by hand, past its handshake."""
    process = subprocess.Popen(
        command(settings),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=settings.allow[0],
        start_new_session=True,
    )  # fmt: skip
    try:
        send(
            process, "initialize", 1,
            protocolVersion="2025-06-18", capabilities={},
            clientInfo={"name": "test", "version": "0"},
        )  # fmt: skip
        receive(process, lambda message: message.get("id") == 1)
        send(process, "notifications/initialized")
        yield process
    finally:
        with contextlib.suppress(OSError):
            process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            assert stream is not None
            with contextlib.suppress(OSError):
                stream.close()


def send(process: subprocess.Popen[str], method: str, number: int = 0, **params: Any) -> None:
    message: dict[str, Any] = {"jsonrpc": "2.0", "method": method, "params": params}
    if number:
        message["id"] = number
    assert process.stdin is not None
    process.stdin.write(json.dumps(message) + "\n")
    process.stdin.flush()


def receive(process: subprocess.Popen[str], wanted: Any) -> dict[str, Any]:
    assert process.stdout is not None
    for line in process.stdout:
        message: dict[str, Any] = json.loads(line)
        if wanted(message):
            return message
    raise AssertionError("the server closed its end")


def run_forever(process: subprocess.Popen[str]) -> list[int]:
    """Have it run an endless loop; returns its children once that is under way."""
    send(
        process, "tools/call", 2,
        name="exec_code", arguments={"code": "while True: pass", "timeout_s": 3600},
        _meta={"progressToken": "p"},
    )  # fmt: skip
    receive(
        process,
        lambda m: m.get("method") == "notifications/progress" and "exec" in str(m["params"]),
    )
    children = [pid for pid, parent, _ in processes() if parent == process.pid]
    assert children
    return children


@pytest.mark.parametrize("end", ["closes its pipes", "kills the server"])
def test_nothing_is_left_running_when_a_client(settings: Settings, end: str) -> None:
    with raw_server(settings) as process:
        children = run_forever(process)
        if end == "kills the server":
            process.kill()
        else:
            assert process.stdin is not None
            process.stdin.close()
            # A server that blocks on a full pipe would not end.
            drain = threading.Thread(target=lambda: process.stdout and process.stdout.read())
            drain.start()
            process.wait(timeout=PATIENCE)
            drain.join()
        until_gone(lambda: [pid for pid, _, _ in processes() if pid in children])


def test_a_space_survives_the_kill_of_its_server(settings: Settings) -> None:
    with raw_server(settings) as process:
        code = (
            "class Kept:\n    value = 41\n"
            "kept = Kept(); generator = iter([1, 2, 3]); next(generator)"
        )
        send(process, "tools/call", 2, name="exec_code", arguments={"code": code})
        receive(process, lambda message: message.get("id") == 2)
        # The second reply says that the first execution is committed.
        send(process, "tools/call", 3, name="exec_code", arguments={"code": "1"})
        receive(process, lambda message: message.get("id") == 3)
        process.kill()
        process.wait()
    with raw_server(settings) as process:
        code = "kept.value + next(generator)"
        send(process, "tools/call", 2, name="exec_code", arguments={"code": code})
        reply = receive(process, lambda message: message.get("id") == 2)
        assert "=> 43" in reply["result"]["content"][0]["text"]


def test_what_is_not_json_does_not_end_the_server(settings: Settings) -> None:
    with raw_server(settings) as process:
        assert process.stdin is not None
        process.stdin.write("this is not JSON\n{}\n[1, 2]\n\n")
        send(process, "tools/call", 7, name="exec_code", arguments={"code": "6 * 7"})
        reply = receive(process, lambda message: message.get("id") == 7)
        assert "=> 42" in reply["result"]["content"][0]["text"]


def test_settings_that_cannot_be_used_are_one_line_on_standard_error(settings: Settings) -> None:
    broken = [*command(settings), "--allow", str(settings.home / "no-such-folder")]
    ended = subprocess.run(
        broken, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30,
        env={**os.environ, "RLM_MCP_HISTORY": ""},
    )  # fmt: skip
    assert ended.returncode != 0
    assert ended.stdout == ""
    assert "no-such-folder" in ended.stderr
    assert "Traceback" not in ended.stderr
