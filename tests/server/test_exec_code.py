"""What an agent gets from `exec_code`."""

import pytest

from ..conftest import Agent, Connect

pytestmark = pytest.mark.anyio


async def test_the_last_expression_is_shown(agent: Agent) -> None:
    for code, shown in (
        ("6 * 7", "=> 42"),
        ("'text'", "=> 'text'"),
        ("[1, 'a', None]", "=> [1, 'a', None]"),
        ("{'k': {1, 2}}", "=> {'k': {1, 2}}"),
        ("b'\\x00'", "=> b'\\x00'"),
        ("1.5, True", "=> (1.5, True)"),
        ("import numpy as np; np.arange(3)", "=> array([0, 1, 2])"),
        ("import pandas as pd; pd.DataFrame({'a': [1]})", "=>    a\n0  1"),
        ("lambda x: x", "=> <function <lambda>"),
        ("'x' * 100_000", "=> str 100,000 chars"),
        ("list(range(100_000))", "=> list 100,000 items"),
    ):
        assert shown in await agent.run(code), code
    for code in ("None", "x = 1", "", "# nothing", "def f(): pass"):
        assert "=>" not in await agent.run(code), code
    assert "=> 1" in await agent.run("_ if False else x")


async def test_variables_persist_between_executions(agent: Agent) -> None:
    reply = await agent.run("rows = [1, 2, 3]")
    assert "+ rows: list 3 items: [1, 2, 3]" in reply
    assert "=> 6" in await agent.run("sum(rows)")


async def test_a_value_that_is_shown_is_not_described_again(agent: Agent) -> None:
    reply = await agent.run("x = list(range(40)); y = x; z = [1]; x")
    assert reply.count("[0, 1, 2") == 1
    assert "\n+ x: as shown\n+ y: as shown\n+ z: list 1 item: [1]\n" in reply
    assert "\n+ w: int 1\n" in await agent.run("w = 1; x")


async def test_what_changed_is_said(agent: Agent) -> None:
    reply = await agent.run("a = 1; b = [1]; c = {'k': 1}; d = 'gone'")
    assert [line[:3] for line in reply.splitlines()[:4]] == ["+ a", "+ b", "+ c", "+ d"]
    reply = await agent.run("b.append(2); c['k'] = 5; del d; e = 2; a = a")
    assert "~ b: list 2 items: [1, 2]" in reply
    assert "~ c:" in reply
    assert "- d\n" in reply
    assert "+ e: int 2" in reply
    assert " a:" not in reply
    assert "b" not in (await agent.run("import json; _private = 1")).partition("[space")[0]
    reply = await agent.run("for i in range(300): globals()[f'v{i}'] = i")
    assert "more variables changed" in reply
    assert len(reply) < 2000


async def test_an_exception_is_an_error_with_the_frames_of_the_code_alone(agent: Agent) -> None:
    text = await agent.fails("exec_code", code="def f():\n    return 1 / 0\nf()")
    assert "ZeroDivisionError" in text
    assert "return 1 / 0" in text
    assert "rlm_guest" not in text
    assert "+ f" in text, "what the code did before is kept"
    text = await agent.fails("exec_code", code="f()")
    assert '"<execution 1>", line 2, in f' in text
    assert "return 1 / 0" in text
    text = await agent.fails("exec_code", code="sub_llm(5)")
    assert "TypeError" in text
    assert "rlm_guest" not in text


async def test_code_that_cannot_be_compiled_says_where(agent: Agent) -> None:
    text = await agent.fails("exec_code", code="x = 1\ny = (")
    assert "SyntaxError" in text
    assert "line 2" in text
    assert "y = (" in text
    assert "ast.py" not in text
    assert "NameError" in await agent.fails("exec_code", code="x")
    for code in ("def f(:", "x = '\0'", "(" * 5000, "  1", "return 1", "1 +" * 20_000):
        text = await agent.fails("exec_code", code=code)
        assert "Error" in text
        assert len(text) < 5000
    assert "surrogate" in await agent.fails("exec_code", code="\ud800")
    assert "=> 1" in await agent.run("1")


async def test_exit_ends_the_code_and_not_the_space(agent: Agent) -> None:
    for leave in ("import sys; sys.exit(3)", "exit()", "raise SystemExit", "quit()"):
        text = await agent.fails("exec_code", code=f"kept = 1\n{leave}\nnever = 1")
        assert "SystemExit" in text
        assert "its variables are kept" in text
    assert "=> (1, False)" in await agent.run("kept, 'never' in globals()")
    assert "KeyboardInterrupt" in await agent.fails("exec_code", code="raise KeyboardInterrupt")


async def test_objects_that_cannot_be_shown_are_still_named(agent: Agent) -> None:
    code = (
        "class Odd:\n"
        "    def __repr__(self): raise SystemExit('no')\n"
        "    def __len__(self): raise KeyboardInterrupt\n"
        "    def __getattr__(self, name): raise OSError\n"
        "    def __eq__(self, other): raise ValueError\n"
        "    __hash__ = None\n"
        "odd = Odd()\nodd"
    )
    reply = await agent.run(code)
    assert "Odd" in reply
    assert "repr raised SystemExit" in reply
    assert "Odd" in await agent.run("{'k': [odd]}")
    assert "E:" in await agent.fails(
        "exec_code",
        code="class E(Exception):\n    def __str__(self): raise RuntimeError\nraise E()",
    )
    assert "=> 1" in await agent.run("odd = None; 1")


async def test_helpers_are_put_back_with_a_note(agent: Agent) -> None:
    reply = await agent.run("grep = 5; lines = ['a', 'b']; del chunks; grep")
    assert "=> 5" in reply
    assert "note: `grep` is the name of a helper and was put back; yours is `grep_`" in reply
    assert "+ lines_: list 2 items" in reply
    assert "chunks" not in reply
    assert "callable" not in reply
    assert "=> (True, True, 5)" in await agent.run("callable(grep), callable(chunks), grep_")
    assert "note" not in await agent.run("1")


async def test_helpers_find_things(agent: Agent) -> None:
    await agent.run("docs = {'a.py': 'import os\\nprint(1)\\n', 'b.py': 'nothing'}")
    assert "a.py" in await agent.run("grep('import', docs)")
    reply = await agent.run("t = 'one\\ntwo\\nthree\\n'; print(lines(t, 2, 3))\nlen(chunks(t, 5))")
    assert "two" in reply
    assert "docs" in await agent.run("show_vars()")


async def test_classes_of_one_execution_work_in_the_next(agent: Agent) -> None:
    await agent.run(
        "from dataclasses import dataclass, field\nimport enum, typing, pickle\n"
        "@dataclass\nclass Item:\n    name: str\n"
        "    tags: list[str] = field(default_factory=list)\n"
        "class Colour(enum.Enum):\n    RED = 1\n"
        "class Pair(typing.NamedTuple):\n    a: int\n    b: int"
    )
    await agent.run("items = [Item('x', ['t']), Colour.RED, Pair(1, 2)]")
    assert "=> True" in await agent.run("pickle.loads(pickle.dumps(items)) == items")
    assert "Item(name='x', tags=['t'])" in await agent.run("items")
    assert "=> 'Item'" in await agent.run("type(items[0]).__qualname__")


async def test_names_at_the_top_are_seen_everywhere_in_the_code(agent: Agent) -> None:
    code = (
        "base = 10\ndef f(n): return g(n) + base\ndef g(n): return n if n < 1 else f(n - 1)\n"
        "[f(i) for i in range(3)], (lambda: base)(), {k: base for k in 'a'}"
    )
    assert "=> ([10, 20, 30], 10, {'a': 10})" in await agent.run(code)
    assert "=> '__main__'" in await agent.run("__name__")
    assert "=> 11" in await agent.run("def h():\n    global base\n    base += 1\nh()\nbase")


async def test_two_new_spaces_draw_different_random_numbers(connect: Connect) -> None:
    code = "import random, os, uuid, numpy as np; random.random(), np.random.rand(), os.urandom(4)"
    async with connect() as agent:
        seen = set()
        for space in ("one", "two"):
            await agent.call("spaces", action="open", space=space)
            for _ in range(2):
                reply = await agent.run(code, space=space)
                seen.update(reply.partition("\n")[0].removeprefix("=> (").split(", "))
        assert len(seen) == 12
        await agent.run("random.seed(7); state = random.getstate()", space="one")
        assert "=> True" in await agent.run(
            "first = random.random(); random.seed(7); first == random.random()", space="one"
        )


async def test_clocks_go_forward_and_sleeping_takes_its_time(connect: Connect) -> None:
    async with connect() as agent:
        await agent.run("import time; before = time.monotonic(), time.perf_counter(), time.time()")
        reply = await agent.run("b = time.monotonic(); time.sleep(0.25); time.monotonic() - b")
        slept = float(reply.partition("=> ")[2].split()[0])
        assert 0.25 <= slept < 5
        await agent.call("spaces", action="undo")
        code = (
            "after = time.monotonic(), time.perf_counter(), time.time()\n"
            "[now >= was for now, was in zip(after, before)]"
        )
        assert "=> [True, True, True]" in await agent.run(code)
    async with connect() as agent:
        assert "=> [True, True, True]" in await agent.run(code)
        assert "=> True" in await agent.run("abs(time.time() - before[2]) < 60")


async def test_common_libraries_are_there_at_once(agent: Agent) -> None:
    code = (
        "import json, re, numpy, pandas, lxml, bs4, yaml, regex, sqlite3, networkx\n"
        "db = sqlite3.connect(':memory:'); db.execute('create table t (a)')\n"
        "db.execute('insert into t values (7)'); cursor = db.execute('select a from t')"
    )
    await agent.run(code)
    assert "=> (7,)" in await agent.run("next(cursor)")


async def test_code_is_stopped_at_its_deadline_and_variables_stay(agent: Agent) -> None:
    text = await agent.stopped("n = 0\nwhile True:\n    n += 1")
    assert "STOPPED" in text
    assert "begun" in text
    assert "=> True" in await agent.run("n > 0")
