"""What an agent gets from `peek`: a part of a variable, and the call for the next part."""

from __future__ import annotations

import ast
import re
from typing import Any

import anyio
import pytest

from rlm_mcp.lm import Answer, Request

from ..conftest import Agent, Connect

pytestmark = pytest.mark.anyio


async def peek(agent: Agent, target: str, **arguments: Any) -> str:
    reply = await agent.call("peek", target=target, **arguments)
    assert not reply.failed, reply.text
    return reply.text


def next_call(text: str) -> dict[str, Any]:
    """The arguments of the call that a reply names."""
    found = re.search(r"(?:next|start|whole): (peek\(.*\))\]$", text)
    assert found, text
    call = ast.parse(found[1], mode="eval").body
    assert isinstance(call, ast.Call)
    arguments = {word.arg: ast.literal_eval(word.value) for word in call.keywords if word.arg}
    return {"target": ast.literal_eval(call.args[0]), **arguments}


async def test_ranges_in_each_unit(agent: Agent) -> None:
    await agent.run(
        "t = 'zero\\none\\ntwo €\\nthree'; rows = [{'n': i} for i in range(100)]; b = b'abcdef'"
    )
    assert (await peek(agent, "t", start=5, length=3)).startswith("one\n[chars [5:8] of 20")
    assert (await peek(agent, "t", start=-5)).startswith("three\n[chars [15:20]")
    text = await peek(agent, "t", unit="lines", start=1, length=2)
    assert text.startswith("one\ntwo €\n[lines ")
    assert next_call(text)["start"] == 3
    assert "[99] {'n': 99}" in await peek(agent, "rows", unit="items", start=-1)
    assert "cd" in await peek(agent, "b", start=2, length=2)
    assert (await peek(agent, "rows[3]['n']")) == "int 3"
    assert "rows [10:12]" in await peek_frame(agent)
    assert "past the end: t has 20 chars" in await agent.fails("peek", target="t", start=21)


async def peek_frame(agent: Agent) -> str:
    await agent.run("import pandas as pd; df = pd.DataFrame({'a': range(50)})")
    return await peek(agent, "df", start=10, length=2)


async def test_in_another_space_the_calls_that_replies_name_lead_there(agent: Agent) -> None:
    await agent.call("spaces", action="open", name="other")
    reply = await agent.run("t = 'line\\n' * 2000; print(t)", max_chars=500, space="other")
    assert 'peek("Out[1]", start=..., space="other")' in reply
    text = await peek(agent, "t", start=0, length=50, space="other")
    assert (following := next_call(text))["space"] == "other"
    assert "[chars [50:100] of 10,000" in await peek(agent, **following)
    text = await peek(agent, "t", find="lin", context=0, max_chars=300, space="other")
    assert next_call(text)["space"] == "other"
    named = await agent.call("spaces", action="checkpoint", name="here", space="other")
    assert named.text.endswith('spaces(action="restore", name="here", space="other")')


async def test_following_the_next_calls_shows_everything_once(agent: Agent) -> None:
    await agent.run("t = '\\n'.join(f'line {i}' for i in range(700)); rows = list(range(1000))")
    text = await peek(agent, "t", start=0, length=5000, max_chars=900)
    seen = text.rpartition("\n[chars")[0]
    while "next:" in text:
        text = await peek(agent, **next_call(text))
        seen += text.rpartition("\n[chars")[0]
    expected = "\n".join(f"line {i}" for i in range(700))
    assert seen == expected
    text = await peek(agent, "rows", unit="items", start=0, length=1000, max_chars=3000)
    shown = re.findall(r"^\[(\d+)\]", text, re.MULTILINE)
    while "next:" in text:
        text = await peek(agent, **next_call(text))
        shown += re.findall(r"^\[(\d+)\]", text, re.MULTILINE)
    assert shown == [str(number) for number in range(1000)]


async def test_the_call_after_a_preview_works(agent: Agent) -> None:
    await agent.run("docs = {'src/a \"b\".py': 'x' * 50_000}")
    text = await peek(agent, "docs['src/a \"b\".py']")
    assert (await peek(agent, **next_call(text))).startswith("xxxx")


async def test_find_gives_lines_and_the_next_matches(agent: Agent) -> None:
    await agent.run(
        "log = '\\n'.join(f'{i} ' + ('ERROR' if i % 50 == 7 else 'ok') for i in range(1000))"
    )
    text = await peek(agent, "log", find="ERROR$", context=1, max_chars=400)
    assert text.startswith('20 matches of "ERROR$" in log')
    assert "7- 6 ok" in text
    assert "8:" in text
    numbers = re.findall(r"^(\d+):\d+: \d+ ERROR", text, re.MULTILINE)
    while "next:" in text:
        text = await peek(agent, **next_call(text))
        numbers += re.findall(r"^(\d+):\d+: \d+ ERROR", text, re.MULTILINE)
    assert numbers == [str(line) for line in range(8, 1001, 50)]
    assert "0 matches" in await peek(agent, "log", find="absent")
    assert "no regular expression" in await agent.fails("peek", target="log", find="(")
    await agent.run("docs = {'a.py': 'one\\nimport os\\n', 'b.py': 'import re'}")
    text = await peek(agent, "docs", find="import", context=0)
    assert "a.py:2:" in text
    assert "b.py:1:" in text


async def test_targets_that_do_not_exist_name_what_does(agent: Agent) -> None:
    await agent.run("rows = [{'text': 'a'}] * 3; config = {'path': 1}")
    for target, expected in (
        ("row", "'rows'"),
        ("rows[9]", "list 3 items"),
        ("rows[0]['txt']", "'text'"),
        ("config.path", 'config["path"]'),
        ("len(rows)", "a call"),
        ("rows[0].__class__", "underscore"),
        ("__builtins__", "private"),
        ("", "access path"),
        ("1 +", "access path"),
    ):
        assert expected in await agent.fails("peek", target=target), target
    assert "'config'" in await agent.fails("peek", target="zzzz")


async def test_peeking_never_changes_the_space(agent: Agent) -> None:
    await agent.run(
        "from collections import defaultdict\n"
        "class Counter:\n    seen = 0\n"
        "    def __getitem__(self, key): Counter.seen += 1; self.last = key; return Counter.seen\n"
        "    def __repr__(self): Counter.seen += 1; return 'counted'\n"
        "    @property\n    def prop(self): Counter.seen += 1; return Counter.seen\n"
        "c = Counter(); d = defaultdict(list); it = iter([1, 2, 3])"
    )
    code = "globals()['Counter'].seen"
    before = (await agent.run(code)).partition("\n")[0]
    seen = []
    for _ in range(2):
        seen.append([await peek(agent, target) for target in ("c[5]", "c", "c.prop", "it")])
        await agent.fails("peek", target="d['new']")
    assert seen[0] == seen[1]
    assert before == (await agent.run(code)).partition("\n")[0]
    assert "=> (False, 0, [1, 2, 3])" in await agent.run("'last' in vars(c), len(d), list(it)")


async def test_code_in_a_peek_that_runs_on_is_stopped(agent: Agent) -> None:
    await agent.run(
        "class Exits:\n    def __getitem__(self, key):\n        import os; os._exit(1)\n"
        "e = Exits(); keep = 1"
    )
    text = await agent.fails("peek", target="e[0]")
    assert "last commit" in text
    assert "=> 1" in await agent.run("keep")


class _Held:
    """A model that answers when it is let go."""

    def __init__(self) -> None:
        self.begun, self.go_on = anyio.Event(), anyio.Event()

    async def ask(self, request: Request) -> Answer:
        self.begun.set()
        await self.go_on.wait()
        return Answer("held")

    async def aclose(self) -> None: ...


async def test_a_busy_space_is_looked_at_as_of_its_last_commit(connect: Connect) -> None:
    model = _Held()
    async with connect(model) as agent, anyio.create_task_group() as group:
        await agent.run("x = 'committed'")
        group.start_soon(agent.run, "x = 'not yet'\nsub_llm('wait')")
        await model.begun.wait()
        text = await peek(agent, "x")
        assert "committed" in text
        assert "busy" in text
        assert "last commit" in text
        model.go_on.set()
        await agent.run("1")
        assert "not yet" in await peek(agent, "x")
