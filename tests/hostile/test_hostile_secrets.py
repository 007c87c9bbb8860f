# ruff: noqa: ASYNC240, E501 - code in one piece, small files
"""Secrets of the server, and what the guest learns of the machine."""

from __future__ import annotations

import logging
import os
import random
from pathlib import Path

import pytest

from rlm_mcp.lm import ScriptedModel

from ..conftest import Agent, Connect
from .test_hostile_second_wall import workers

pytestmark = pytest.mark.anyio

KEYS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "OPENROUTER_API_KEY", "AWS_SECRET_ACCESS_KEY")


async def test_keys_of_providers_are_nowhere_but_in_the_server(
    connect: Connect,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    secret = f"sk-{random.Random().getrandbits(120):x}"
    for name in KEYS:
        monkeypatch.setenv(name, secret)

    def fail(_request: object) -> str:
        raise RuntimeError(f"the provider said {secret}")  # a fault of ours that holds a secret

    replies = []
    caplog.set_level(logging.DEBUG)
    async with connect(model=ScriptedModel(fail)) as agent:
        for code in (
            "import os; dict(os.environ)",
            "import sys; sys.argv, sys.flags, sys.orig_argv, sys.path, sys.executable, sys.prefix",
            "sub_llm('hello')",
            "sub_llm_map(['a', 'b'], on_error='return')",
            'import _host; _host.call(b\'C{"op":"sub_llm","requests":[{"prompt":"x"}]}\')',
            "pmap(lambda n: dict(__import__('os').environ), range(2))",
        ):
            replies.append((await agent.call("exec_code", code=code)).text)
        arguments = {"prompt": "{{kept}}", "into": "x"}
        replies.append((await agent.call("sub_llm", **arguments)).text)
        replies.append((await agent.call("spaces", action="info")).text)
        if Path("/proc/self/environ").exists():
            for pid in workers():
                assert Path(f"/proc/{pid}/environ").read_bytes() == b""
                assert secret.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()
    for text in replies:
        assert secret not in text
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert secret.encode() not in path.read_bytes(), path.name
    ours = [record for record in caplog.records if record.name.startswith("rlm_mcp")]
    for record in ours:
        assert secret not in record.getMessage()


async def test_the_guest_sees_nothing_of_the_machine(agent: Agent) -> None:
    shown = await agent.run("import os; sorted(os.environ)")
    assert (
        "=> ['HOME', 'MPLBACKEND', 'MPLCONFIGDIR', 'PYTHONTZPATH', 'PYTHONUTF8', 'TMPDIR']" in shown
    )
    told = await agent.call(
        "exec_code",
        code="import os, sys, platform, traceback\n"
        "print(sys.argv, sys.path, sys.executable, os.getcwd(), platform.uname())\n"
        "for f in (os.getpid, os.getuid, os.getlogin, os.cpu_count):\n"
        "    try: print(f())\n    except Exception as e: print(e)\n"
        "traceback.print_stack()\nimport json; json.loads('{')",
    )
    for private in (str(Path.home()), str(Path.cwd()), os.uname().nodename, str(os.getpid())):
        if len(private) > 3:
            assert private not in told.text, private


async def test_no_file_of_the_machine_can_be_named(agent: Agent, tmp_path: Path) -> None:
    (tmp_path / "work" / "secret.txt").write_text("the secret text")
    places = [
        "/etc/passwd", "/proc/self/environ", "/dev/null", "..", "/", ".", "/usr/local/lib/../x",
        "/usr/local/lib", "/usr/local/lib/python315.zip/../../x", "~", "/tmp/x", "a\\0b",
        str(tmp_path / "work" / "secret.txt"), "secret.txt", "/dev/fd/0", "/proc/self/fd/3",
        "\\u202e", "/" * 5000, "./" * 3000 + "etc/passwd",
    ]  # fmt: skip
    await agent.run(f"places = {places!r}")
    code = (
        "import os, shutil, tempfile, pathlib\nopened = []\nfor place in places:\n"
        "    for do in (open, os.listdir, os.readlink, os.remove, os.mkdir, os.rmdir,\n"
        "               lambda p: open(p, 'w'), lambda p: open(p, 'ab'), lambda p: os.symlink(p, 'l'),\n"
        "               lambda p: os.link(p, 'l'), lambda p: os.rename(p, 'l'), lambda p: os.truncate(p, 0),\n"
        "               lambda p: os.open(p, os.O_RDONLY), os.chdir, os.mkfifo if hasattr(os, 'mkfifo') else open,\n"
        "               lambda p: pathlib.Path(p).read_bytes(), lambda p: shutil.rmtree(p)):\n"
        "        try:\n            do(place); opened.append((place, str(do)))\n"
        "        except Exception: pass\n"
        "[o for o in opened if o[0] not in ('.', '/', '/usr/local/lib') or 'chdir' not in o[1]]"
    )
    assert "=> []" in await agent.run(code)
    assert (tmp_path / "work" / "secret.txt").read_text() == "the secret text"
    # The library is there to be read, and only to be read.
    library = "/usr/local/lib/python315.zip"
    await agent.run(f"f = open('{library}', 'rb', buffering=0); f.read(0), f.read(4)")
    assert "Error" in await agent.fails(
        "exec_code", code=f"open('{library}', 'r+b', 0).write(b'x')"
    )
    assert "Error" in await agent.fails("exec_code", code="import tempfile; tempfile.mkdtemp()")
    many = f"fs = []\nwhile True: fs.append(open('{library}', 'rb'))"
    assert "OSError" in await agent.fails("exec_code", code=many)
    await agent.run("fs = None")
    assert "=> 1" in await agent.run("import colorsys; 1")


async def test_forks_draw_numbers_of_their_own(agent: Agent) -> None:
    code = (
        "import random, uuid, secrets, numpy as np\n"
        "print(random.random(), uuid.uuid4(), secrets.token_hex(), np.random.rand())"
    )
    await agent.run("import random; random.seed(1)")
    seen = []
    for name in ("one", "two"):
        await agent.call("spaces", action="fork", name=name)
        seen += (await agent.run(code, space=name)).split("\n")[0].split()
    assert len(set(seen)) == len(seen) == 8
    await agent.run("import numpy as np; np.random.seed(1); random.seed(1)")
    drawn = await agent.run(
        "len(set(pmap(lambda n: (random.random(), np.random.rand()), range(4))))"
    )
    assert "=> 4" in drawn


async def test_clocks_are_not_moved_by_the_guest(agent: Agent) -> None:
    code = (
        "import time\nfor set_ in ('clock_settime', 'settimeofday'):\n"
        "    try: getattr(time, set_)(0, 0.0)\n    except (AttributeError, OSError): pass\n"
        "a = time.monotonic(); b = time.time(); b > 1.6e9, time.monotonic() >= a"
    )
    assert "=> (True, True)" in await agent.run(code)
