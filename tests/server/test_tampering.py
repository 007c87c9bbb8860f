"""Code that breaks the interpreter it runs in: the next execution finds it whole, or undone."""

from __future__ import annotations

import pytest

from ..conftest import Agent

pytestmark = pytest.mark.anyio

DESTRUCTION = (
    "import builtins\nd = delattr\nfor n in list(vars(builtins)): d(builtins, n)",
    "import builtins\nbuiltins.exec = builtins.__import__ = builtins.len = builtins.type = None",
    "__builtins__ = {}",
    "import sys\nfor n in list(sys.modules): sys.modules[n] = None",
    "import sys\nsys.modules.clear()",
    "import sys\nfor n in list(sys.modules):\n    if 'rlm_guest' in n: del sys.modules[n]",
    "import ast; ast.parse = ast.walk = ast.Expr = None",
    "import json; json.dumps = json.loads = None",
    "import traceback; traceback.TracebackException = None",
    "import sys; sys.setrecursionlimit(10); sys.setrecursionlimit = None",
    "import sys; sys.settrace(lambda *a: 1 / 0)",
    "import sys; sys.setprofile(lambda *a: 1 / 0)",
    "import sys; sys.meta_path.clear(); sys.path_hooks.clear(); sys.path.clear()",
    "import sys; sys.modules['rlm_guest._execute'].execute = None",
    "import sys; sys.modules['rlm_guest._loop']._OPERATIONS.clear()",
    "import sys; sys.modules['rlm_guest._loop'].HELPERS.clear()",
    "import sys; vars(sys.modules['rlm_guest._preview']).clear()",
    "_rlm_turn_ = None",
    "import sys; sys.modules['__main__'] = None",
    "import sys; sys.stdout = sys.stderr = sys.stdin = None; sys.excepthook = 1 / 2",
    "import gc; gc.disable(); gc.unfreeze(); gc.collect()",
    "class X:\n    def __del__(self): raise SystemExit\nx = X()\ndel x",
    "import atexit, os; atexit.register(os._exit, 3)",
    "import os\nfor n in range(20):\n    try: os.close(n)\n    except OSError: pass",
    "Out = None; _ = None; In = 5",
    "import _host; _host.call = None",
    "import signal; signal.raise_signal(2)",
    "import faulthandler; faulthandler._sigsegv()",
    "import os; os.abort()",
    "_rlm_turn_()",
    "globals()[5] = 1; globals()['not a name'] = 2",
)


@pytest.mark.parametrize("part", range(3))
async def test_the_space_is_usable_after_destruction(agent: Agent, part: int) -> None:
    await agent.run("keep = {'a': [1, 2]}")
    for code in DESTRUCTION[part::3]:
        await agent.call("exec_code", code=code)
        reply = await agent.call("exec_code", code="print(len('ab')); keep['a'], 1 + 1")
        assert "2\n=> ([1, 2], 2)" in reply.text, (code, reply.text)
        assert "=> True" in await agent.run("callable(grep) and callable(sub_llm)"), code
        reply = await agent.call("peek", target="keep")
        assert not reply.failed, (code, reply.text)
        text = await agent.fails("exec_code", code="import json; json.loads('{') if 1 else 1/0")
        assert "Error" in text, code
        # What a module itself was made to be stays so; a new space is not affected.
        await agent.call("spaces", action="undo")
        await agent.call("spaces", action="undo")


async def test_clearing_all_names_loses_the_names_and_nothing_else(agent: Agent) -> None:
    await agent.run("keep = 1")
    assert "- keep" in await agent.run("globals().clear()")
    assert "=> (2, True)" in await agent.run("len('ab'), callable(grep)")
    await agent.call("spaces", action="undo")
    await agent.call("spaces", action="undo")
    assert "=> 1" in await agent.run("keep")


async def test_emptying_every_object_can_be_undone(agent: Agent) -> None:
    await agent.run("keep = {'a': [1, 2]}")
    for kind in ("list", "dict", "set"):
        code = f"import gc\nfor o in gc.get_objects():\n    if type(o) is {kind}: o.clear()"
        lost = "LOST" in (await agent.call("exec_code", code=code)).text
        if not lost:
            await agent.call("spaces", action="undo")
        assert "=> ([1, 2], 2)" in await agent.run("keep['a'], 1 + 1")


async def test_deep_structures_are_errors_or_give_the_last_commit(agent: Agent) -> None:
    await agent.run("keep = 1")
    for code in (
        "l = []\nfor i in range(50_000): l = [l]\nrepr(l)",
        "import copy\nl = []\nfor i in range(50_000): l = [l]\ncopy.deepcopy(l)",
        "import pickle\nl = []\nfor i in range(50_000): l = [l]\npickle.dumps(l)",
        "l = []\nfor i in range(200_000): l = [l]\nl == [l]",
        "eval('(' * 50_000)",
        "eval('-' * 100_000 + '1')",
        "import json; json.loads('[' * 500_000)",
        "import re; re.compile('(' * 5000 + ')' * 5000)",
        "def f(n): return f(n + 1)\nf(0)",
        "class A:\n    def __getattr__(self, n): return getattr(self, n + 'x')\nA().y",
        "import ast; ast.parse('a.b' * 1 + '.c' * 50_000)",
    ):
        reply = await agent.call("exec_code", code=code, timeout_s=20)
        assert len(reply.text) <= 8000, code
        assert "=> 1" in await agent.run("keep"), code
