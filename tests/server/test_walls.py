"""What is not there: files, the environment, the network, other processes."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from rlm_mcp.space import Limits

from ..conftest import Agent, Connect

pytestmark = pytest.mark.anyio


async def test_there_are_no_files_and_the_error_says_what_to_use(agent: Agent, work: Path) -> None:
    (work / "a.txt").write_text("a")
    for path in (str(work / "a.txt"), "/etc/passwd", "a.txt", "../a.txt", "/proc/self/environ"):
        text = await agent.fails("exec_code", code=f"open({path!r}).read()")
        assert "load_variable" in text
    for code in (
        "import os; os.listdir('/')", "open('/tmp/x', 'w')", "import os; os.mkdir('/x')",
        "import os; os.symlink('/etc/passwd', 'x')", "import tempfile; tempfile.TemporaryFile()",
        "import pandas as pd; pd.DataFrame({'a': [1]}).to_csv('x.csv')",
    ):  # fmt: skip
        assert "Error" in await agent.fails("exec_code", code=code), code


async def test_the_library_of_the_guest_cannot_be_changed(agent: Agent) -> None:
    for mode in ("r+b", "wb", "ab"):
        for change in ("f.write(b'x'); f.flush()", "f.truncate(0)", "os.fsync(f.fileno()); 1 / 0"):
            code = f"import os; f = open('/usr/local/lib/python315.zip', '{mode}'); {change}"
            assert "Error" in await agent.fails("exec_code", code=code), (mode, change)
    await agent.call("exec_code", code="f.close()")
    await agent.call("exec_code", code="f = None")
    text = await agent.fails(
        "exec_code", code="import os; os.remove('/usr/local/lib/python315.zip')"
    )
    assert "Error" in text
    assert "=> True" in await agent.run("import colorsys; 'rgb_to_hsv' in dir(colorsys)")


async def test_nothing_of_the_host_is_in_the_environment(agent: Agent, work: Path) -> None:
    reply = await agent.run(
        "import os, sys; print(dict(os.environ), sys.argv, sys.path, os.getcwd())"
    )
    for secret in (str(work.parent), "RLM_MCP", "root", "PYTHONPATH", "venv", "/tmp/pytest"):
        assert secret not in reply


async def test_no_connection_reaches_a_listener_on_this_machine(agent: Agent) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        port = listener.getsockname()[1]
        for code in (
            f"import socket; socket.create_connection(('127.0.0.1', {port}), 1)",
            f"import urllib.request as u; u.urlopen('http://127.0.0.1:{port}', timeout=1)",
            f"import http.client as h; h.HTTPConnection('127.0.0.1', {port}).request('GET', '/')",
            f"import pandas; pandas.read_csv('http://127.0.0.1:{port}/x.csv')",
            f"import _socket; s = _socket.socket(); s.connect(('127.0.0.1', {port}))",
        ):
            assert "Error" in await agent.fails("exec_code", code=code), code
        with pytest.raises(BlockingIOError):
            listener.accept()


async def test_there_are_no_processes_threads_or_signals(agent: Agent) -> None:
    for code in (
        "import subprocess; subprocess.run(['true'])",
        "import os; os.system('true')",
        "import os; os.fork()",
        "import threading; threading.Thread(target=print).start()",
        "import os; os.kill(1, 9)",
        "import multiprocessing; multiprocessing.Process(target=print).start()",
    ):
        assert "Error" in await agent.fails("exec_code", code=code), code
    assert "=> 1" in await agent.run("1")


async def test_memory_has_a_limit_and_the_space_goes_on(connect: Connect) -> None:
    async with connect(limits=Limits(memory_mb=256)) as agent:
        await agent.run("keep = 'kept'")
        for code in (
            "b = bytearray(1 << 30)",
            "rows = []\nwhile True: rows.append(bytes(1 << 20))",
            "s = 'x'\nwhile True: s += s",
            "import numpy as np; np.zeros(10**9)",
            "'x' * (1 << 31)",
            "10 ** 10 ** 9 % 7",
        ):
            text = await agent.fails("exec_code", code=code, timeout_s=10)
            words = ("MemoryError", "OverflowError", "too big", "STOPPED", "LOST")
            assert any(word in text for word in words), (code, text)
            await agent.call("exec_code", code="rows = s = b = None")
            assert "=> 'kept'" in await agent.run("keep")
        assert "=> 50000000" in await agent.run("len(bytes(50_000_000))")


async def test_files_inside_of_guest_numbers_cannot_be_forged(agent: Agent) -> None:
    """Calls of the host that lie about lengths and places are errors or end the code."""
    await agent.run("keep = 1")
    for frame in (
        "b''", "b'Z'", "b'W' + struct.pack('<II', 2**32 - 1, 2**32 - 1)",
        "b'O' + struct.pack('<II', 2**32 - 1, 2**32 - 1)", "b'O' + struct.pack('<II', 0, 64)",
        "b'I' + struct.pack('<IIQ', 0, 2**32 - 1, 0)", "b'I' + bytes(3)", "b'C' + b'[' * 1000",
        "b'C{}'", "b'C' + b'9' * 10000", "b'R' + b'[]'",
    ):  # fmt: skip
        await agent.call("exec_code", code=f"import _host, struct\n_host.call({frame})")
        assert "=> 1" in await agent.run("keep"), frame
