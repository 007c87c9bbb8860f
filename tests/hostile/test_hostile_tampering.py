# ruff: noqa: E501 - code in one piece
"""Destruction of what the interpreter and the project's own guest code are made of."""

from __future__ import annotations

import pytest

from .conftest import Arena

pytestmark = pytest.mark.anyio

CASES = {
    "builtins": "import builtins\nfor n in list(vars(builtins)):\n    if n != '__build_class__': setattr(builtins, n, None)",
    "builtins emptied": "import builtins; vars(builtins).clear()",
    "exec": "import builtins; builtins.exec = builtins.eval = builtins.compile = None",
    "__builtins__": "__builtins__ = {}",
    "print": "import builtins; builtins.print = builtins.len = lambda *a: 1 / 0",
    "modules": "import sys; sys.modules.clear()",
    "modules replaced": "import sys\nfor n in list(sys.modules): sys.modules[n] = None",
    "main": "import sys, types; sys.modules['__main__'] = types.ModuleType('__main__')",
    "name": "__name__ = 5; __spec__ = __loader__ = __doc__ = None",
    "import hook": "import sys\nclass F:\n    def find_spec(self, *a): raise SystemExit\nsys.meta_path.insert(0, F())",
    "path": "import sys; sys.path.clear(); sys.meta_path.clear(); sys.path_hooks.clear()",
    "import": "import builtins; builtins.__import__ = lambda *a: 1 / 0",
    "trace": "import sys\ndef t(*a): raise SystemExit\nsys.settrace(t); sys.setprofile(t)\nx = len('a')",
    "monitoring": "import sys\nm = sys.monitoring\nm.use_tool_id(3, 'x')\ndef e(*a): 1 / 0\n"
    "m.register_callback(3, m.events.PY_START, e); m.set_events(3, m.events.PY_START)",
    "audit": "import sys\ndef h(event, args):\n    if event in ('compile', 'exec'): 1 / 0\nsys.addaudithook(h)",
    "audit exits": "import sys, os\nsys.addaudithook(lambda e, a: os._exit(1) if e == 'exec' else None)",
    "streams closed": "import sys\nfor s in (sys.stdin, sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):\n    s and s.close()",
    "streams replaced": "import sys; sys.stdout = sys.stderr = sys.stdin = sys.__stdout__ = None",
    "stream forged": "import sys; sys.stdout._head = None; sys.stdout.total = 'x'; print(1)",
    "descriptors": "import os\nfor n in range(10):\n    try: os.close(n)\n    except OSError: pass",
    "helpers": "grep = sub_llm = chunks = show_vars = pmap = Out = None",
    "helpers deleted": "del grep, chunks, sub_llm",
    "package": "import sys\nfor n, m in list(sys.modules.items()):\n    if n.startswith('rlm_guest'): vars(m).clear()",
    "package functions": "import rlm_guest._execute as e, rlm_guest._loop as l\n"
    "e.execute = e.tidy = l._carry_out = l._OPERATIONS = None; l.HELPERS.clear()",
    "operations": "import rlm_guest._loop as l; l._OPERATIONS.clear()",
    "code": "import rlm_guest._loop as l; l._exec.__code__ = (lambda request: {}).__code__",
    "door": "import _host, rlm_guest._door as d; _host.call = d.raw = d.result = None",
    "json": "import json; json._default_encoder = json._default_decoder = None",
    "json class": "import json; json.JSONEncoder.encode = json.JSONDecoder.decode = None",
    "ast": "import ast; ast.parse = ast.walk = None",
    "traceback": "import traceback, linecache; traceback.TracebackException = linecache.cache = None; 1 / 0",
    "Stop": "import rlm_guest._execute as e; e.Stop.__init__ = None; e.Stop = None",
    "gc": "import gc; gc.disable(); gc.set_threshold(1); gc.callbacks.append(lambda *a: 1 / 0)",
    "gc objects": "import gc, types\nfor o in gc.get_objects():\n"
    "    if isinstance(o, dict) and o.get('__name__', '').__class__ is str and 'rlm_guest' in o.get('__name__', ''):\n        o.clear()",
    "excepthook": "import sys; sys.excepthook = sys.unraisablehook = sys.displayhook = None; 1 / 0",
    "recursion limit": "import sys; sys.setrecursionlimit(30)",
    "int digits": "import sys; sys.set_int_max_str_digits(640)",
    "keys": "globals()[5] = globals()[None] = 1; globals().update({'a b': 1, '': 2})",
    "globals cleared": "k = kept; globals().clear(); kept = 41",
    "dunder": "class M(type):\n    def __instancecheck__(c, o): raise SystemExit\n"
    "    def __getattribute__(c, n): raise SystemExit\nclass C(metaclass=M):\n    __class__ = int\nc = C()\nc",
    "signals": "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); signal.raise_signal(2)",
    "memory by ctypes": "import ctypes; ctypes.memset(0, 1, 10 ** 6)",
}


async def test_destruction_is_mended_or_taken_back(arena: Arena) -> None:
    for kind, code in CASES.items():
        text = await arena.attack(code)
        after = await arena.agent.run("print('seen'); [len(str(n)) for n in range(3)]")
        assert "seen" in after, (kind, text)
        assert "=> [1, 1, 1]" in after, (kind, text)
        helpers = "callable(grep), callable(sub_llm), __name__"
        assert "=> (True, True, '__main__')" in await arena.agent.run(helpers), kind
        peeked = await arena.agent.call("peek", target="kept")
        assert "41" in peeked.text, (kind, peeked.text)


async def test_the_stop_works_after_tampering(arena: Arena) -> None:
    await arena.attack("import rlm_guest._execute as e; e.Stop = KeyError; e._door = None")
    text = await arena.stop("while True: pass")
    assert "STOPPED" in text or "LOST" in text


async def test_what_no_mending_reaches_can_be_taken_back(arena: Arena) -> None:
    # It waits for the third turn, which no check after the first one finds.
    code = (
        "import sys, os\nleft = [6]\ndef h(event, args):\n    if event == 'exec':\n"
        "        left[0] -= 1\n        if left[0] < 0: os._exit(1)\nsys.addaudithook(h)"
    )
    await arena.agent.run(code)
    for _ in range(12):
        reply = await arena.agent.call("exec_code", code="kept")
        if "LOST" in reply.text:
            break
    else:
        raise AssertionError("the hook did nothing")
    for _ in range(12):
        if "LOST" not in (await arena.agent.call("exec_code", code="kept")).text:
            break
        assert not (await arena.agent.call("spaces", action="undo")).failed
    assert "=> 41" in await arena.agent.run("kept")
