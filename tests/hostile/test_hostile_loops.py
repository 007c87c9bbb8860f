# ruff: noqa: E501 - code in one piece
"""Code that does not end: stopped, or ended with its worker."""

from __future__ import annotations

import pytest

from .conftest import Arena

pytestmark = pytest.mark.anyio

SOFT = {
    "bare": "n = 0\nwhile True:\n    n += 1",
    "generator": "n = 1\ndef g():\n    while True:\n        yield 1\nfor _ in g(): pass",
    "sleep": "n = 1\nimport time\ntime.sleep(1000)",
    "except Exception": "n = 1\nwhile True:\n    try:\n        1 / 0\n    except Exception:\n        pass",
    "small calls": "n = 1\nimport os\nwhile True: os.urandom(100)",
    "huge power": "n = 1\nx = 10 ** (10 ** 9)",
    "backtracking": "n = 1\nimport re; re.match('(a+)+$', 'a' * 60 + 'b')",
    "sort keys": "n = 1\nsorted(range(10 ** 6), key=lambda k: sorted(range(1000)))",
    "prints": "n = 1\nwhile True: print('x' * 100)",
    "await": "n = 1\nimport asyncio\nawait asyncio.sleep(1000)",
    "tasks": "n = 1\nimport asyncio\nasync def f():\n    while True: await asyncio.sleep(0)\n"
    "await asyncio.gather(*(f() for _ in range(100)), return_exceptions=True)",
    "asyncio.run": "n = 1\nimport asyncio\nasync def f():\n    while True: pass\nasyncio.run(f())",
}
HARD = {
    "except BaseException": "while True:\n    try:\n        while True: pass\n    except BaseException:\n        pass",
    "finally": "def f():\n    try:\n        while True: pass\n    finally:\n        f()\nwhile True:\n"
    "    try: f()\n    except BaseException: pass",
    "del": "class D:\n    def __del__(self):\n        while True:\n            try:\n                while True: pass\n"
    "            except BaseException: pass\nD()\nNone",
    "except KeyboardInterrupt": "while True:\n    try:\n        while True: pass\n    except KeyboardInterrupt:\n        pass",
    "tasks that cling": "import asyncio\nasync def f():\n    while True:\n        try:\n            while True: pass\n"
    "        except BaseException: pass\nawait asyncio.gather(f(), f())",
    "loop callback": "import asyncio\ndef f():\n    try:\n        while True: pass\n    except BaseException: loop.call_soon(f)\n"
    "loop = asyncio.get_event_loop()\nloop.call_soon(f)\nloop.run_forever()",
    "disarmed": "import _host\nwhile True: _host.call(b'Q')",
    "sum": "sum(range(10 ** 12))",
    "iterators": "import collections, itertools; collections.deque(itertools.count(), maxlen=0)",
    "numpy": "import numpy as np\na = np.ones((2000, 2000)); a @ a",
    "sqlite": "import sqlite3\nsqlite3.connect(':memory:').execute('WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL "
    "SELECT x + 1 FROM c) SELECT count(*) FROM c').fetchall()",
    "repr": "class R:\n    def __repr__(self):\n        while True:\n            try:\n                while True: pass\n"
    "            except BaseException: pass\nr = R()\nr",
}


async def test_a_loop_is_stopped_and_its_variables_stay(arena: Arena) -> None:
    for kind, code in SOFT.items():
        text = await arena.stop(code)
        assert "STOPPED" in text, kind
        assert "=> True" in await arena.agent.run("n >= 1"), kind


async def test_what_swallows_the_stop_is_ended_and_the_space_is_as_before(arena: Arena) -> None:
    for kind, code in HARD.items():
        text = await arena.stop(f"kept = 0\n{code}")
        assert "LOST" in text, kind
        assert "deadline" in text, kind


async def test_callbacks_of_the_collector_cannot_hold_a_space(arena: Arena) -> None:
    code = (
        "import gc\ndef forever(*_):\n    while True:\n        try:\n            while True: pass\n"
        "        except BaseException: pass\ngc.callbacks.append(forever)\n"
    )
    assert "LOST" in await arena.stop(f"{code}gc.collect()")


async def test_what_lies_in_wait_for_the_next_execution_can_be_taken_back(arena: Arena) -> None:
    code = (
        "class D:\n    def __del__(self):\n        while True:\n            try:\n"
        "                while True: pass\n            except BaseException: pass\nD()"
    )
    await arena.agent.run(code)  # it is `_` now, and every next value takes its place
    for _ in range(2):
        text = (await arena.agent.call("exec_code", code="kept", timeout_s=0.5)).text
        assert "LOST" in text
    assert "undo" in text
    assert not (await arena.agent.call("spaces", action="undo")).failed
    assert "=> 41" in await arena.agent.run("kept")


async def test_a_loop_inside_a_host_call_ends_at_the_deadline(arena: Arena) -> None:
    code = 'import _host\nwhile True: _host.call(b\'C{"op": "none"}\')'
    assert "STOPPED" in await arena.stop(code)
    code = "def f(n):\n    while True: pass\npmap(f, range(4))"
    assert "STOPPED" in await arena.stop(code)
    code = (
        "def f(n):\n    while True:\n        try:\n            while True: pass\n"
        "        except BaseException: pass\npmap(f, range(4))"
    )
    assert "STOPPED" in await arena.stop(code)
