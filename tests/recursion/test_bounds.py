"""What bounds a run: iterations, calls, depth, and the size of the conversation."""

from __future__ import annotations

import json

import pytest

from rlm_mcp.errors import SubLLMError
from rlm_mcp.lm import Request

from ..conftest import Connect
from ._roots import RootModel, code, is_root

pytestmark = pytest.mark.anyio


def counting() -> RootModel:
    """Looks on and on, with another code each time; says `about 40` when it has to conclude."""
    numbers = iter(range(1000))

    def answer(request: Request) -> str:
        if "No more code can be run" in request.prompt.text:
            return json.dumps({"n": 40}) if request.schema else "It is about 40."
        return code(f"n = {next(numbers)}")

    return RootModel(answer)


async def test_out_of_iterations_the_best_answer_is_asked_for_and_marked(
    connect: Connect,
) -> None:
    model = counting()
    async with connect(model) as agent:
        reply = await agent.call("sub_rlm", question="x", max_iterations=3, into="r")
        assert not reply.failed
        assert reply.text.startswith("NOT SUBMITTED (the iterations ran out); the best answer so")
        assert "=> 'It is about 40.'" in await agent.run("r")
        assert len(model.asked) == 4
        assert "only ONE turn is left: SUBMIT in it" in model.asked[2].prompt.text
        reply_text = await agent.run(
            "sub_rlm('x', max_iterations=1, schema={'type': 'object', 'required': ['n']})"
        )
        assert "=> {'n': 40}" in reply_text
        assert "[sub_rlm: the iterations ran out; this is its best answer so far (space " in (
            reply_text
        )


async def test_a_variable_can_be_the_best_answer(connect: Connect) -> None:
    model = RootModel(code("n = 41"), "FINAL_VAR(n)")
    async with connect(model) as agent:
        reply = await agent.call("sub_rlm", question="x", max_iterations=1, into="r")
        assert "NOT SUBMITTED" in reply.text
        assert "=> 41" in await agent.run("r")


async def test_code_is_no_answer_where_the_best_one_is_asked_for(connect: Connect) -> None:
    model = RootModel(code("n = 41"), "```python\nprint(n + 1)\n```")
    async with connect(model) as agent:
        text = await agent.fails("sub_rlm", question="x", max_iterations=1)
        assert text.startswith(
            "NO ANSWER (the iterations ran out): asked for its best answer so far, the model wrote "
            "code and no answer\nWhat was reached is in space main.rlm-"
        )
        model.say(code("n = 42"), "It is 42:\n```python\nprint(n)\n```")
        reply = await agent.call("sub_rlm", question="y", max_iterations=1)
        assert "the best answer so far:\nIt is 42:\n[run in" in reply.text


async def test_the_calls_of_the_whole_tree_are_bounded(connect: Connect) -> None:
    model = counting()
    async with connect(model) as agent:
        reply = await agent.call("sub_rlm", question="x", max_llm_calls=4)
        assert "NOT SUBMITTED (the LLM calls ran out)" in reply.text
        assert len(model.requests) == 4
        # The last time it was asked for its best answer; a turn that nothing was left for is none.
        assert f"{len(model.asked) - 1} iterations" in reply.text

    ask_many = code(
        "try: sub_llm_map([str(i) for i in range(20)], concurrency=20)",
        "except SubLLMError as error: got = error",
        "SUBMIT([got.kind, str(got), sum(a is not None for a in got.answers)])",
    )
    model = RootModel(ask_many)
    async with connect(model) as agent:
        reply_text = await agent.run(
            "kind, why, n = sub_rlm('x', max_llm_calls=10); print(kind, n, why)"
        )
        assert "budget 7 " in reply_text
        assert "put more into one call" in reply_text
        assert len(model.requests) == 8

    below = code("try: r = sub_rlm('below')", "except SubLLMError as e: r = str(e)", "SUBMIT(r)")
    model = RootModel(below, code("SUBMIT(sub_llm_map(list('abcdefgh')))"), "FINAL(gave up)")
    async with connect(model) as agent:
        await agent.run("sub_rlm('x', max_llm_calls=6)")
        assert len(model.requests) <= 6


async def test_runs_are_nested_only_so_deep(connect: Connect) -> None:
    deeper = code(
        "try: r = [level, sub_rlm('go deeper', level=level + 1)]",
        "except SubLLMError as error: r = [level, error.kind, str(error)]",
        "SUBMIT(r)",
    )
    model = RootModel(deeper)
    async with connect(model) as agent:
        reply = await agent.run("sub_rlm('go', level=1)")
        assert "=> [1, [2, 'budget', 'recursive runs may be nested 2 deep" in reply
        assert len(model.asked) == 2
        listed = (await agent.call("spaces")).text
        assert listed.count("fork of main.rlm-") == 1
        assert listed.count("fork of main\n") + listed.endswith("fork of main") == 1
    async with connect(RootModel(deeper), max_depth=1) as agent:
        assert "nested 1 deep" in await agent.run("sub_rlm('go', level=1)", space="main")


async def test_the_conversation_does_not_grow_without_bound(connect: Connect) -> None:
    numbers = iter(range(1000))

    def look(request: Request) -> str:
        number = next(numbers)
        return code("SUBMIT('done')") if number == 30 else code(f"print('long ' * 1500, {number})")

    model = RootModel(look)
    async with connect(model) as agent:
        reply = await agent.call("sub_rlm", question="Who was it?", max_iterations=40)
        assert "submitted" in reply.text
    sizes = [
        len(request.prompt.text) + sum(len(turn.text) for turn in request.prompt.history)
        for request in model.asked
    ]
    assert max(sizes) <= 160_000
    assert sum(len(request.prompt.text) for request in model.asked) > 200_000
    assert "characters cut ...]" in model.seen
    for request in model.asked[1:]:
        roles = [turn.role for turn in request.prompt.history]
        assert roles == ["user", "assistant"] * (len(roles) // 2)
        assert "Who was it?" in request.prompt.history[0].text


async def test_a_conversation_over_the_window_of_the_model_is_shortened(connect: Connect) -> None:
    def picky(request: Request) -> str | SubLLMError:
        size = sum(len(turn.text) for turn in request.prompt.history)
        if size > 9_000:
            return SubLLMError("too long", kind="context")
        if size + len(request.prompt.text) > 6_000:
            return code("SUBMIT('fits')")
        return code(f"print('long ' * 1200, {size})")

    async with connect(RootModel(picky)) as agent:
        assert "=> 'fits'" in await agent.run("sub_rlm('x')")


async def test_long_output_is_cut_and_named_as_code_can_reach_it(connect: Connect) -> None:
    model = RootModel(code("print('word ' * 9000, 'and the end')"), code("SUBMIT(Out[1][-8:-1])"))
    async with connect(model) as agent:
        assert "=> 'the end'" in await agent.run("sub_rlm('x')")
    shown = model.asked[1].prompt.text
    assert len(shown) < 9_000
    assert "the middle is cut; all of it: Out[1]" in shown
    assert "peek(" not in model.seen


async def test_the_time_of_the_calling_code_stands_still(connect: Connect) -> None:
    model = RootModel(code("import time; time.sleep(1.5)"), code("SUBMIT('slow but sure')"))
    async with connect(model) as agent:
        assert "=> 'slow but sure'" in await agent.run("sub_rlm('x')", timeout_s=1)
    assert all(is_root(request) for request in model.requests)
