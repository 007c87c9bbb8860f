# ruff: noqa: E501 - code in one piece
"""Ends of the interpreter: the space goes on from its last commit, or keeps its variables."""

from __future__ import annotations

import pytest

from .conftest import Arena

pytestmark = pytest.mark.anyio

ENDS = {
    "os._exit": "import os; os._exit(3)",
    "os.abort": "import os; os.abort()",
    "a signal": "import signal; signal.raise_signal(6)",
    "a fault": "import faulthandler; faulthandler._sigsegv()",
    "_exit in a destructor": "import os\nclass D:\n    def __del__(self): os._exit(0)\nD()\nNone",
    "_exit in a repr": "import os\nclass R:\n    def __repr__(self): os._exit(1)\nR()",
    "_exit after a forged result": 'import os, _host; _host.call(b\'R{"value": "7"}\'); os._exit(0)',
}
KEEPS = {
    "SystemExit": "import sys; sys.exit(3)",
    "KeyboardInterrupt": "raise KeyboardInterrupt",
    "BaseException": "raise BaseException('x')",
    "GeneratorExit": "raise GeneratorExit",
    "del": "class D:\n    def __del__(self): raise SystemExit\nD(); 1 / 0",
    "our own": "import rlm_guest._execute as e; raise e.Stop",
    "atexit": "import atexit, os; atexit.register(os._exit, 1); 1 / 0",
    "a class that cannot be raised": "class E(BaseException):\n    def __init__(self): 1 / 0\nraise E",
}


async def test_an_end_of_the_interpreter_costs_the_execution(arena: Arena) -> None:
    for kind, code in ENDS.items():
        text = await arena.attack(f"kept = 0\n{code}")
        assert "LOST" in text, kind
        assert "Nothing of this execution remains" in text, kind


async def test_exceptions_of_every_kind_keep_the_variables(arena: Arena) -> None:
    for kind, code in KEEPS.items():
        text = await arena.attack(f"seen = {kind!r}\n{code}")
        assert "LOST" not in text, kind
        assert repr(kind) in await arena.agent.run("seen")
