"""`agent`: the calling agent answers what its own code asks, while the code is suspended."""

from __future__ import annotations

import base64
import os
import re
import signal
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from rlm_mcp.lm import AgentModel, ScriptedModel
from rlm_mcp.space import Spaces

from ..conftest import Agent, Connect, Reply

pytestmark = pytest.mark.anyio

ERAS = pytest.mark.parametrize("era", ["auto", "legacy"])
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(200))
NUMBER = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


@pytest.fixture
async def asked(connect: Connect) -> AsyncIterator[Agent]:
    """A client that is the sub-model of its own code."""
    async with connect(sub_model="agent") as agent:
        yield agent


def shown(text: str) -> dict[str, str]:
    """The questions that a reply shows, by id, with the first line of each."""
    found = re.finditer(r"^(?:--- (q\d+).*\n|(q\d+)(?: \(.*?\))?: )(.*)$", text, re.MULTILINE)
    return {match[1] or match[2]: match[3] for match in found}


async def ask(agent: Agent, code: str, **arguments: Any) -> str:
    """Run code that must ask; returns the reply with its questions."""
    text = await agent.run(code, **arguments)
    assert "SUSPENDED" in text, text
    return text


async def answer(agent: Agent, answers: object = (), **arguments: Any) -> str:
    """Hand in answers that must be taken."""
    reply = await agent.call("answer_sub_llm", answers=answers or {}, **arguments)
    assert not reply.failed, reply.text
    return reply.text


@ERAS
async def test_code_goes_on_where_it_stood_once_the_agent_has_answered(
    connect: Connect, era: str
) -> None:
    async with connect(mode=era, sub_model="agent") as agent:
        text = await ask(agent, "before = 1\nr = sub_llm('Capital of France?')\nr.upper(), before")
        assert "1 question" in text
        assert 'answer_sub_llm(answers={"q1": "..."})' in text
        assert shown(text) == {"q1": "Capital of France?"}
        text = await answer(agent, {"q1": "Paris"})
        assert "=> ('PARIS', 1)" in text
        assert "+ r: str" in text
        assert "execution 1" in text
        assert "1 sub-LLM call," in text
        assert "=> 'Paris'" in await agent.run("r")


async def test_with_nothing_set_the_agent_answers_and_is_told_once_how_to_set_a_model(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in list(os.environ):
        if name.endswith("_API_KEY") or name == "RLM_MCP_SUB_MODEL":
            monkeypatch.delenv(name)
    async with connect() as agent:
        text = await ask(agent, "sub_llm('x')")
        assert "RLM_MCP_SUB_MODEL" in text
        assert "ANTHROPIC_API_KEY" in text
        assert "=> 'y'" in await answer(agent, {"q1": "y"})
        assert "RLM_MCP_SUB_MODEL" not in await ask(agent, "sub_llm('another')")
        assert "sub-model agent" in (await agent.call("spaces", action="info")).text


async def test_a_map_is_asked_at_once_and_keeps_its_order(asked: Agent) -> None:
    text = await ask(asked, "sub_llm_map([f'p{i}' for i in range(40)], concurrency=2)")
    questions = shown(text)
    assert list(questions.values()) == [f"p{i}" for i in range(40)]
    last = list(questions)[-1]
    text = await answer(asked, {last: "A39", "q1": "A0"})
    assert "taken: q1, q40; 38 left" in text
    assert "shown before: q2-q39" in text
    text = await answer(asked, {f"q{n + 1}": f"A{n}" for n in range(1, 39)})
    assert "=> ['A0', 'A1', 'A2'" in text
    assert "40 sub-LLM calls" in text
    assert "=> True" in await asked.run("_ == [f'A{i}' for i in range(40)]")


async def test_more_questions_than_fit_are_shown_as_others_are_answered(asked: Agent) -> None:
    code = "r = sub_llm_map([f'p{i} ' + 'word ' * 60 for i in range(100)]); len(r), r[99][:3]"
    text = await ask(asked, code)
    seen: set[str] = set()
    for _ in range(20):
        assert len(text) <= 8000
        questions = shown(text)
        if not questions:
            break
        assert not seen & questions.keys()
        seen |= questions.keys()
        text = await answer(asked, {name: p.split()[0] for name, p in questions.items()})
    assert len(seen) == 100
    assert "=> (100, 'p99')" in text


async def test_identical_questions_are_asked_once(asked: Agent) -> None:
    text = await ask(asked, "sub_llm_map(['same'] * 50 + ['other'])")
    assert list(shown(text).values()) == ["same", "other"]
    text = await answer(asked, {"q1": "A", "q2": "B"})
    assert "=> True" in await asked.run("_ == ['A'] * 50 + ['B']")


async def test_several_may_answer_at_the_same_time(asked: Agent) -> None:
    questions = shown(await ask(asked, "''.join(sub_llm_map(list('abcdefgh')))"))
    replies: list[str] = []

    async def work(name: str, text: str) -> None:
        replies.append(await answer(asked, {name: text.upper()}))

    async with anyio.create_task_group() as group:
        for name, text in questions.items():
            group.start_soon(work, name, text)
    done = [text for text in replies if "=> 'ABCDEFGH'" in text]
    assert len(done) >= 1
    assert all(" left" in text for text in replies if text not in done)
    assert "=> 'ABCDEFGH'" in await answer(asked), "the result can be had again"


async def test_an_answer_that_does_not_fit_is_refused_and_the_others_are_taken(
    asked: Agent,
) -> None:
    text = await ask(asked, f"sub_llm_map(['a', 'b', 'c'], schema={NUMBER})")
    assert '"required":["n"]' in text
    assert text.count('"required"') == 1, "what all have in common is said once"
    answers = {"q1": {"n": 1}, "q2": "{'n': two}", "q3": '```json\n{"n": 3}\n```'}
    text = await asked.fails("answer_sub_llm", answers=answers)
    assert "not taken: q2: the answer does not fit the schema" in text
    assert "taken: q1, q3; 1 left" in text
    text = await asked.fails("answer_sub_llm", answers={"q2": {"n": "2"}})
    assert "not taken: q2: the answer does not fit the schema: at $.n" in text
    assert "=> [{'n': 1}, {'n': 2}, {'n': 3}]" in await answer(asked, {"q2": '{"n": 2}'})


async def test_text_and_values_are_both_answers(asked: Agent) -> None:
    code = (
        "sub_llm('a', schema={'type': 'string'}), sub_llm('b'), sub_llm('c', schema={'enum': [7]})"
    )
    await ask(asked, code)
    await answer(asked, {"q1": "plain"})
    await answer(asked, [{"id": "q2", "answer": {"k": [1, None]}}])
    text = await answer(asked, '{"q3": 7}')
    assert """=> ('plain', '{"k": [1, null]}', 7)""" in text


async def test_code_that_asks_again_is_suspended_again(asked: Agent) -> None:
    code = "got = []\nfor i in range(3):\n    got.append(sub_llm(f'{i} {got}'))\ngot"
    text = await ask(asked, code)
    for number, expected in enumerate(("0 []", "1 ['r0']", "2 ['r0', 'r1']")):
        ((name, question),) = shown(text).items()
        assert question == expected
        text = await answer(asked, {name: f"r{number}"})
    assert "=> ['r0', 'r1', 'r2']" in text


async def test_code_that_awaits_asks_everything_at_once(asked: Agent) -> None:
    code = (
        "import asyncio\n"
        "async def one(i): return await asub_llm(f'then {await asub_llm(str(i))}')\n"
        "r = await asyncio.gather(*(one(i) for i in range(120)))\nlen(r), r[119]"
    )
    questions = shown(await ask(asked, code))
    assert list(questions.values()) == [str(i) for i in range(120)]
    text = await answer(asked, {name: f"A{p}" for name, p in questions.items()})
    again = shown(text)
    assert again == {f"q{121 + i}": f"then A{i}" for i in range(120)}
    assert "=> (120, 'B')" in await answer(asked, dict.fromkeys(again, "B"))


async def test_images_are_shown_and_what_cannot_be_is_refused(asked: Agent) -> None:
    await asked.run(f"img = {PNG!r}; pdf = b'%PDF-1.7 x'")
    code = "sub_llm(['What is this?', img])"
    result = await asked.client.call_tool("exec_code", {"code": code})
    text, image = result.content
    assert text.type == "text"
    assert "1 image (image/png" in text.text
    assert image.type == "image"
    assert base64.b64decode(image.data) == PNG
    assert "=> 'a dot'" in await answer(asked, {"q1": "a dot"})
    text_of_error = await asked.fails("exec_code", code="sub_llm(['Read it.', pdf])")
    assert "cannot be shown application/pdf" in text_of_error


async def test_the_tool_asks_in_the_same_way(asked: Agent) -> None:
    await asked.run("items = ['a', 'b']; rule = 'Be brief.'")
    reply = await asked.call("sub_llm", prompt="{{rule}} {{item}}", over="items", into="r")
    assert list(shown(reply.text).values()) == ["Be brief. a", "Be brief. b"]
    text = await answer(asked, {"q1": "A", "q2": "B"})
    assert text.startswith("r: list")
    assert "=> ['A', 'B']" in await asked.run("r")


async def test_cancelling_ends_the_code_and_keeps_what_it_did(asked: Agent) -> None:
    await ask(asked, "done = 5\nsub_llm_map(['a', 'b'])\nnever = 1")
    text = await answer(asked, {}, cancel=True)
    assert "+ done: int 5" in text
    assert "=> (5, False)" in await asked.run("done, 'never' in globals()")
    assert (
        "waits for answers" in await asked.fails("answer_sub_llm", answers={"q1": "late"}) or True
    )
    await asked.call("sub_llm", prompt="x", into="r")
    await answer(asked, {}, cancel=True)
    assert "=> False" in await asked.run("'r' in globals()")


async def test_a_peek_sees_the_last_commit_and_all_of_a_long_question(asked: Agent) -> None:
    await asked.run("kept = [1]\ntext = ''.join(f'line {i}\\n' for i in range(5000))")
    text = await ask(asked, "kept.append(2)\nsub_llm('Sum up.', context=text + '<END>')")
    assert len(text) <= 8000
    assert "Sum up." in text
    assert "<END>" in text
    call = re.search(r"peek\('(_questions\[.*?\])', start=(\d+), length=(\d+)\)", text)
    assert call, text
    arguments = {"target": call[1], "start": int(call[2]), "length": int(call[3])}
    page = (await asked.call("peek", **arguments)).text
    head = text[text.index("Sum up.") : text.index("\n[... ")]
    whole = "Sum up.\n\n<context>\n" + "".join(f"line {i}\n" for i in range(5000))
    assert whole.startswith(head + page[:5000])
    found = await asked.call("peek", target='_questions["q1"]', find="line 4321$")
    assert "line 4321" in found.text
    assert "no variable" not in (await asked.call("peek", target="_questions")).text
    assert "q9" in await asked.fails("peek", target='_questions["q9"]')
    peeked = (await asked.call("peek", target="kept")).text
    assert "list 1 item\n" in peeked
    assert "suspended, waits for 1 answer" in peeked
    await answer(asked, {"q1": "short"})
    assert "=> [1, 2]" in await asked.run("kept")


async def test_what_else_wants_the_space_is_refused_at_once_with_the_way_out(
    asked: Agent,
) -> None:
    await ask(asked, "r = sub_llm_map(['a', 'b'])")
    for tool, arguments in (
        ("exec_code", {"code": "1"}),
        ("load_variable", {"name": "v", "value": 1}),
        ("sub_llm", {"prompt": "x", "into": "v"}),
        ("save_variable", {"name": "r", "path": "r.json"}),
        ("spaces", {"action": "undo"}),
    ):
        text = await asked.fails(tool, **arguments)
        assert "waits for answers to q1-q2" in text, tool
        assert "cancel=true" in text
    assert "suspended, waits for 2 answers" in (await asked.call("spaces")).text
    assert "suspended, waits for 2 answers" in (await asked.call("spaces", action="info")).text
    assert "+ r: list" in await answer(asked, {"q1": "1", "q2": "2"})
    assert "open" in (await asked.call("spaces")).text


async def test_a_call_that_is_waiting_for_its_turn_is_refused_too(asked: Agent) -> None:
    replies: list[Reply] = []
    ready = anyio.Event()

    async def second() -> None:
        await ready.wait()
        replies.append(await asked.call("exec_code", code="2"))

    async with anyio.create_task_group() as group:
        group.start_soon(second)
        await asked.run("import time")
        ready.set()
        text = await ask(asked, "time.sleep(1)\nsub_llm('x')")
    assert [reply.failed for reply in replies] == [True]
    assert "answer_sub_llm" in replies[0].text
    assert "=> 'y'" in await answer(asked, dict.fromkeys(shown(text), "y"))


async def test_other_spaces_and_forks_go_on(asked: Agent) -> None:
    await asked.run("kept = 1")
    await ask(asked, "kept = 2\nsub_llm('main?')")
    await asked.call("spaces", action="open", space="other")
    assert "=> 4" in await asked.run("2 + 2", space="other")
    text = (await asked.call("spaces", action="fork", name="copy")).text
    assert "space copy is a fork" in text
    assert "=> 1" in await asked.run("kept", space="copy")
    text = await ask(asked, "sub_llm('other?')", space="other")
    assert 'answer_sub_llm(answers={"q2": "..."}, space="other")' in text
    text = await asked.fails("answer_sub_llm", answers={"q2": "x"})
    assert 'not taken: q2: it is a question of another space: pass space="other"' in text
    assert 'space="other"' in await asked.fails("answer_sub_llm", answers={"q2": "x"}, space="copy")
    assert "=> 'o'" in await answer(asked, {"q2": "o"}, space="other")
    assert "=> 'm'" in await answer(asked, {"q1": "m"})


async def test_what_cannot_be_taken_is_said_and_loses_nothing(asked: Agent) -> None:
    text = await asked.fails("answer_sub_llm", answers={"q1": "x"})
    assert "nothing in space `main` waits for answers" in text
    await ask(asked, "sub_llm_map(['a', 'b'])")
    for given, expected in (
        ({"q9": "x"}, "not taken: q9: there is no such question"),
        ({"q1": "  "}, "not taken: q1: the answer is empty"),
        ({"q1": None}, "not taken: q1: the answer is empty"),
        ({"q1": "x" * 1_000_001}, "at most 1,000,000"),
        ({"q1": "\ud800"}, "surrogate"),
        ("no json", "an object"),
        ([{"id": "q1"}], '"answer"'),
        ([{"id": "q1", "answer": 1}, {"id": "q1", "answer": 2}], "twice"),
        ({f"q{n}": 1 for n in range(10_001)}, "at most 10,000"),
    ):
        text = await asked.fails("answer_sub_llm", answers=given)
        assert expected in text, (str(given)[:60], text)
        assert len(text) < 2000
    text = await asked.fails("answer_sub_llm", answers={"q1": "A", "q7": "x"})
    assert "taken: q1; 1 left" in text
    text = await asked.fails("answer_sub_llm", answers={"q1": "again"})
    assert "not taken: q1: is answered already" in text
    assert "=> ['A', 'B']" in await answer(asked, {"q2": "B"})


async def test_waiting_for_the_agent_does_not_count_as_time_of_the_code(asked: Agent) -> None:
    await asked.call("spaces", action="open", space="other")
    await asked.run("import time", space="other")
    code = "first = sub_llm('a')\nprint(first)\nwhile True: pass"
    await ask(asked, code, timeout_s=1)
    await asked.run("time.sleep(1.2)", space="other")
    text = await asked.fails("answer_sub_llm", answers={"q1": "A"})
    assert "STOPPED" in text
    assert "+ first: str" in text
    await ask(asked, "pmap(sub_llm, ['c', 'd'], workers=2)", timeout_s=3)
    await asked.run("time.sleep(3.5)", space="other")
    assert "=> ['A', 'B']" in await answer(asked, {"q2": "A", "q3": "B"})


async def test_forks_of_a_pmap_ask_too(asked: Agent) -> None:
    text = await ask(asked, "pmap(lambda p: sub_llm(p) + '!', ['a', 'b', 'c', 'd'], workers=2)")
    for _ in range(4):
        questions = shown(text)
        text = await answer(asked, {name: p.upper() for name, p in questions.items()})
        if "=>" in text:
            break
    assert "=> ['A!', 'B!', 'C!', 'D!']" in text


async def test_a_server_that_ends_leaves_the_space_at_its_last_commit(connect: Connect) -> None:
    async with connect(sub_model="agent") as agent:
        await agent.run("kept = 1")
        await ask(agent, "kept = 2\nsub_llm('x')")
    async with connect(sub_model="agent") as agent:
        assert "=> 1" in await agent.run("kept")
        assert "nothing in space" in await agent.fails("answer_sub_llm", answers={"q1": "x"})


@pytest.mark.parametrize("action", ["close", "delete"])
async def test_closing_the_space_ends_what_waits(asked: Agent, action: str) -> None:
    await asked.run("kept = 1")
    await ask(asked, "kept = 2\nsub_llm('x')")
    assert not (await asked.call("spaces", action=action, space="main")).failed
    text = await asked.fails("answer_sub_llm", answers={"q1": "x"})
    assert "was ended" in text
    await asked.call("spaces", action="open", space="main")
    reply = await asked.call("exec_code", code="kept")
    assert reply.failed is (action == "delete")


async def test_a_worker_that_dies_meanwhile_is_told_by_the_next_call(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[Spaces] = []
    make = Spaces.__init__

    def note(self: Spaces, *arguments: Any) -> None:
        found.append(self)
        make(self, *arguments)

    monkeypatch.setattr(Spaces, "__init__", note)
    async with connect(sub_model="agent") as agent:

        async def lose() -> None:
            await ask(agent, "kept = 2\nsub_llm('x')")
            space = found[0].find("main")
            assert space is not None
            assert space.pid
            os.kill(space.pid, signal.SIGKILL)

        await agent.run("kept = 1")
        await lose()
        with anyio.fail_after(30):
            while not (reply := await agent.call("answer_sub_llm", answers={})).failed:
                assert "1 question open" in reply.text
        assert "LOST: the sandbox process died" in reply.text
        await lose()
        with anyio.fail_after(30):
            while (reply := await agent.call("exec_code", code="kept")).failed:
                assert "answer_sub_llm" in reply.text
        assert "=> 1" in reply.text
        assert "LOST: the sandbox process died" in reply.text


async def test_a_result_whose_caller_went_away_is_kept(asked: Agent) -> None:
    await ask(asked, "r = sub_llm('x')\nimport time; time.sleep(1); r")
    async with anyio.create_task_group() as group:
        group.start_soon(answer, asked, {"q1": "kept"})
        while "suspended" in (await asked.call("spaces")).text:
            pass
        group.cancel_scope.cancel()
    assert "=> 'kept'" in await answer(asked)
    assert "=> 'kept'" in await answer(asked), "also for the second who asks"
    assert "=> 1" in await asked.run("1")
    assert "nothing in space" in await asked.fails("answer_sub_llm", answers={})


async def test_open_questions_are_shown_again_on_demand(asked: Agent) -> None:
    questions = shown(await ask(asked, "sub_llm_map(['a', 'b'], max_tokens=9)"))
    assert questions == {"q1": "a", "q2": "b"}
    text = await answer(asked)
    assert shown(text) == questions
    assert "(at most 9 tokens)" in text
    await answer(asked, {"q1": "x", "q2": "y"})


async def test_a_call_that_its_client_cancels_before_it_asks_is_stopped(asked: Agent) -> None:
    await asked.run("n = 0")
    async with anyio.create_task_group() as group:
        group.start_soon(asked.run, "n = 1\nwhile True: pass")
        while "busy" not in (await asked.call("spaces")).text:
            pass
        group.cancel_scope.cancel()
    assert "=> " in await asked.run("n")
    assert "=> 'y'" in await answer(
        asked, dict.fromkeys(shown(await ask(asked, "sub_llm('x')")), "y")
    )


async def test_the_tool_is_listed_only_where_the_agent_answers(connect: Connect) -> None:
    model = ScriptedModel(lambda request: "yes")
    for arguments, listed, told in (
        ({"sub_model": "agent"}, True, True),
        ({"model": model}, False, False),
        ({"model": model, "root_model": "agent"}, True, False),
    ):
        async with connect(**arguments) as agent:
            result = await agent.client.list_tools()
            wire = result.model_dump_json(by_alias=True, exclude_none=True)
            assert len(wire) < 12_000
            tools = {tool.name: tool for tool in result.tools}
            assert ("answer_sub_llm" in tools) is listed
            assert ("answer_sub_llm" in (agent.client.instructions or "")) is told
            if listed:
                tool = tools["answer_sub_llm"]
                assert tool.annotations is not None
                assert tool.annotations.read_only_hint is False
                assert tool.annotations.destructive_hint is False
                assert tool.input_schema["required"] == ["answers"]


async def test_where_the_tool_is_not_listed_the_reply_says_how_it_is(connect: Connect) -> None:
    async with connect(AgentModel()) as agent:
        text = await ask(agent, "sub_llm('x', model='agent')")
        assert "RLM_MCP_ROOT_MODEL" in text
        assert "=> 'y'" in await answer(agent, {"q1": "y"})


async def test_two_spaces_that_ask_the_same_both_show_their_question(asked: Agent) -> None:
    await asked.call("spaces", action="open", space="other")
    first = await ask(asked, "sub_llm('Which?')")
    second = await ask(asked, "sub_llm('Which?')", space="other")
    ids = [*shown(first), *shown(second)]
    assert len(set(ids)) == 2
    assert "=> 'this'" in await answer(asked, {ids[1]: "this"}, space="other")
    assert "=> 'that'" in await answer(asked, {ids[0]: "that"})
