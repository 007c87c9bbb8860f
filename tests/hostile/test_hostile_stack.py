# ruff: noqa: E501 - code in one piece
"""Depth without end: an exception, or a trap that costs the execution and no more."""

from __future__ import annotations

import pytest

from .conftest import Arena

pytestmark = pytest.mark.anyio

N = 100_000
CASES = {
    "recursion": "def f(): f()\nf()",
    "recursion, limit raised": "import sys; sys.setrecursionlimit(10 ** 9)\ndef f(): f()\nf()",
    "getattr": "class A:\n    def __getattr__(self, name): return getattr(self, name + 'x')\nA().a",
    "repr": f"a = []\nfor _ in range({N}): a = [a]\nrepr(a)",
    "eval": f"eval('(' * {N} + ')' * {N})",
    "ast": f"import ast; ast.parse('[' * {N} + ']' * {N})",
    "compile sum": f"compile('+'.join(['1'] * {N}), '', 'eval')",
    "json": f"import json; json.loads('[' * {N} + ']' * {N})",
    "comparison": f"a = []; b = []\nfor _ in range({N}): a = [a]; b = [b]\na == b",
    "pickle": f"import pickle\na = []\nfor _ in range({N}): a = [a]\npickle.dumps(a)",
    "re": f"import re; re.compile('(' * {N} + ')' * {N})",
    "hash": f"t = ()\nfor _ in range({N}): t = (t,)\nhash(t)",
    "isinstance": f"t = int\nfor _ in range({N}): t = (t,)\nisinstance('a', t)",
    "type of an answer": "t = int\nfor _ in range(5000): t = list[t]\nsub_llm('x', schema=t)",
    "schema": f"t = {{}}\nfor _ in range({N}): t = {{'items': t}}\nsub_llm('x', schema=t)",
    "context": f"t = []\nfor _ in range({N}): t = [t]\nsub_llm('x', context=t)",
    "deepcopy": f"import copy\na = []\nfor _ in range({N}): a = [a]\ncopy.deepcopy(a)",
    "lxml": f"from lxml import etree; etree.fromstring('<a>' * {N} + '</a>' * {N})",
    "host call": "import _host\ndef f(): _host.call(b'C{}'); f()\nf()",
}


async def test_depth_ends_in_an_exception_or_costs_the_execution_only(arena: Arena) -> None:
    for kind, code in CASES.items():
        text = await arena.attack(f"{code}\nNone")
        assert "the server" not in text, kind
        # A value that deep cannot be dropped either: that is lost too, and the space is not.
        assert not (await arena.agent.call("spaces", action="undo")).failed
        assert "=> 41" in await arena.agent.run("kept")


async def test_deep_values_are_kept_and_shown(arena: Arena) -> None:
    text = await arena.attack(f"a = []\nfor _ in range({N}): a = [a]\na")
    assert "=> list 1 item" in text and "+ a: as shown" in text
    assert "list" in (await arena.agent.call("peek", target="a")).text
    await arena.attack("del a")  # lost or not: the space goes on


async def test_long_chains_and_groups_of_exceptions_are_cut(arena: Arena) -> None:
    chain = (
        "error = None\nfor i in range(50_000):\n    new = ValueError(i)\n    new.__context__ = error\n"
        "    error = new\nraise error"
    )
    assert "ValueError" in await arena.attack(chain)
    loop = "a, b = ValueError('a'), ValueError('b')\na.__cause__, b.__cause__ = b, a\nraise a"
    assert "ValueError" in await arena.attack(loop)
    group = "e = ValueError(1)\nfor _ in range(5_000): e = ExceptionGroup('g', [e])\nraise e"
    await arena.attack(group)
    wide = "raise ExceptionGroup('g', [ValueError('x' * 1000) for _ in range(100_000)])"
    assert "more exceptions" in await arena.attack(wide)
    text = await arena.attack("raise ValueError('x' * 50_000_000)")
    assert "ValueError" in text
    deep = f"import pickle\na = []\nfor _ in range({N}): a = [a]\npickle.dumps(a)"
    text = await arena.attack(deep, timeout_s=20)
    assert "more notes" in text or "LOST" in text
    assert len(text) < 3_000
