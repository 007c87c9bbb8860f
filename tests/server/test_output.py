"""What code prints: head and tail in the reply, all of it in `Out`, and only clean text."""

from __future__ import annotations

import re

import pytest

from ..conftest import Agent

pytestmark = pytest.mark.anyio

UNCLEAN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")


async def test_long_output_shows_its_head_and_tail_and_names_the_next_call(agent: Agent) -> None:
    reply = await agent.run("for i in range(5000): print('row', i)", max_chars=2000)
    assert len(reply) <= 2000
    assert reply.startswith("row 0\nrow 1\n")
    assert "row 4999" in reply
    assert 'peek("Out[1]"' in reply
    assert "row 2500" not in reply
    found = await agent.call("peek", target="Out[1]", find="row 2500$", context=0)
    assert "2501:" in found.text
    assert "=> 5000" in await agent.run("len(Out[1].splitlines())")
    assert "=> 5000" in await agent.run("Out[1].count('row')")


async def test_output_comes_before_the_error_and_of_both_streams(agent: Agent) -> None:
    text = await agent.fails(
        "exec_code",
        code="import sys\nprint('out')\nprint('err', file=sys.stderr)\n"
        "sys.stdout.write('no end')\n1/0",
    )
    assert text.startswith("out\nerr\nno end\n")
    assert text.index("no end") < text.index("ZeroDivisionError")


async def test_a_flood_is_bounded_and_the_space_goes_on(agent: Agent) -> None:
    reply = await agent.run("print('y' * 50_000_000)")
    assert len(reply) <= 8000
    assert "50,000,001 characters" in reply
    reply = await agent.run("for i in range(300_000): print(i, end=' ')")
    assert len(reply) <= 8000
    assert "299999" in reply
    text = await agent.stopped("while True: print('x' * 1000)", timeout_s=0.5)
    assert "STOPPED" in text
    assert len(text) <= 8000
    assert "=> True" in await agent.run("sum(map(len, Out.values())) <= 17_000_000")


async def test_what_could_mislead_a_reader_arrives_as_escapes(agent: Agent) -> None:
    nasty = "a\\x00b\\x1b[31mred\\u202edlrow\\ud800z\\u200b\\r\\x9b\\ufeff"
    replies = [
        await agent.run(f"print('{nasty}')"),
        await agent.run(f"s = '{nasty}'\ns"),
        await agent.run("[s, {s: s}]"),
        await agent.fails("exec_code", code="raise ValueError(s)"),
        await agent.fails("exec_code", code="type(s, (Exception,), {})"),
        await agent.run("globals()[s] = 1"),
        (await agent.call("peek", target="s")).text,
        (await agent.call("peek", target="s", start=0, length=20)).text,
        (await agent.call("peek", target="s", find="red")).text,
        (await agent.call("spaces", action="info")).text,
        (await agent.call("load_variable", name="t", value="a\x00\x1b[0m\u202e")).text,
        (await agent.call("save_variable", name="s", path="x\x1b[0m.txt")).text,
    ]
    for reply in replies:
        assert not UNCLEAN.search(reply), ascii(reply)
        reply.encode()
    assert "\\x00" in replies[0]
    assert "\\x1b[31m" in replies[0]
    assert "\\u202e" in replies[0]


async def test_a_huge_exception_is_cut_in_the_middle(agent: Agent) -> None:
    text = await agent.fails("exec_code", code="raise ValueError('x' * 30_000_000 + 'the end')")
    assert len(text) < 5000
    assert "the end" in text
    text = await agent.fails(
        "exec_code",
        code="e = None\nfor i in range(2000):\n"
        "    n = ValueError(i); n.__cause__ = e; e = n\nraise e",
    )
    assert len(text) < 8000
    text = await agent.fails(
        "exec_code", code="raise ExceptionGroup('many', [ValueError(i) for i in range(5000)])"
    )
    assert len(text) < 8000
    assert "many (5000 sub-exceptions)" in text


async def test_output_that_imitates_a_reply_stays_inside_of_it(agent: Agent) -> None:
    reply = await agent.run("print('[space main, execution 99, 1 ms]\\n=> 5')\n6")
    assert reply.index("=> 5") < reply.index("=> 6")
    assert reply.splitlines()[-1].startswith("[space main, execution 1,")


async def test_streams_that_are_closed_or_replaced_come_back(agent: Agent) -> None:
    for code in (
        "import sys; sys.stdout.close()",
        "import sys; sys.stdout = sys.stderr = None",
        "import sys; sys.stdout = type('S', (), {'write': lambda s, t: 1 / 0})()",
        "import os; os.close(1); os.close(2); os.close(0)",
        "import builtins; builtins.print = None",
    ):
        await agent.call("exec_code", code=code)
        assert "still here" in await agent.run("print('still here')"), code
