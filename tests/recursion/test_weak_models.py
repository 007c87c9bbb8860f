"""Root models that do not write what they were asked to write."""

from __future__ import annotations

import pytest

from ..conftest import Agent, Connect
from ._roots import RootModel, code

pytestmark = pytest.mark.anyio


async def answer(connect: Connect, *said: str, **arguments: object) -> tuple[str, str, RootModel]:
    """Ask with `n = 3` in the space; returns the answer as it is echoed, the reply, the model."""
    model = RootModel(*said)
    async with connect(model) as agent:
        await agent.run("n = 3")
        reply = await agent.call("sub_rlm", question="How many?", into="r", **arguments)
        assert not reply.failed, reply.text
        shown = await agent.run("r")
        return shown.splitlines()[0].removeprefix("=> "), reply.text, model


_WAYS = {
    "```py\nSUBMIT(n)\n```": "3",
    "```repl\nSUBMIT(n)\n```": "3",
    "```\nSUBMIT(n)\n```": "3",
    "```python\nSUBMIT(n)": "3",
    "SUBMIT(n)": "3",
    "I looked at it.\n\nSUBMIT(n)": "3",
    "SUBMIT(count=n, text='a)b')": "{'count': 3, 'text': 'a)b'}",
    "```python\nn += 1\n```\nand then\n```python\nSUBMIT(n)\n```": "4",
    "FINAL_VAR(n)": "3",
    'FINAL_VAR("n")': "3",
    "The answer:\n**FINAL(There are three (3) of them.)**": "'There are three (3) of them.'",
    "FINAL(three)": "'three'",
    "FINAL(42)": "42",
    "<think>```python\nSUBMIT('thought')\n```</think>\n```python\nSUBMIT(n)\n```": "3",
    "```python\nFINAL_VAR('n')\n```": "3",
    '```json\n{"n": 9}\n```\n```python\nSUBMIT(n)\n```': "3",
    "```python\n>>> SUBMIT(n)\n3\n```": "3",
    "```python\ntry:\n    SUBMIT(n)\nexcept Exception:\n    print('caught')\n```": "3",
    "```python\ndef f():\n    SUBMIT([n])\nf()\n```": "[3]",
}


async def test_an_answer_is_recognised_however_it_is_written(connect: Connect) -> None:
    model = RootModel("")
    async with connect(model) as agent:
        await agent.run("n = 3")
        for number, (said, expected) in enumerate(_WAYS.items()):
            model.say(said)
            # The answer to the same question would be known.
            question = f"How many? ({number})"
            reply = await agent.call("sub_rlm", question=question, into="r")
            assert "submitted, 1 iteration" in reply.text, said
            assert (await agent.run("r")).startswith(f"=> {expected}\n"), said


async def test_a_reply_without_code_is_reminded_and_then_taken_as_the_answer(
    connect: Connect,
) -> None:
    shown, reply, model = await answer(connect, "I would look at n first.", "There are three.")
    assert shown == "'There are three.'"
    assert "said in words and never submitted" in reply
    assert len(model.asked) == 3
    assert "There is no code in your reply" in model.asked[1].prompt.text
    assert "SUBMIT(answer)" in model.asked[1].prompt.text


async def test_a_reminder_brings_a_model_back_to_work(connect: Connect) -> None:
    shown, reply, model = await answer(
        connect, "Sure, I can help!", "", code("print(n)"), "It is 3.", code("SUBMIT(n)")
    )
    assert shown == "3"
    assert "submitted, 5 iterations" in reply
    assert "Your reply was empty" in model.seen


async def test_words_that_must_fit_a_schema_are_read_as_json(connect: Connect) -> None:
    schema = {"type": "object", "required": ["n"]}
    shown, _, model = await answer(
        connect, "It is 3.", "Three.", "I said three.", 'So: {"n": 3, "why": "it\'s \\\\"}',
        schema=schema,
    )  # fmt: skip
    assert shown == "{'n': 3, 'why': \"it's \\\\\\\\\"}" or shown.startswith("{'n': 3, 'why': ")
    assert "does not fit the schema" in model.seen


async def test_several_blocks_run_in_order_up_to_the_first_error(connect: Connect) -> None:
    said = "```python\na = 1\n```\n```python\n1 / 0\n```\n```python\nb = 2\n```\nSUBMIT(a)"
    shown, _, model = await answer(connect, said, code("SUBMIT([a, 'b' in globals()])"))
    assert shown == "[1, False]"
    assert "[block 2 of 3]" in model.seen
    assert "ZeroDivisionError" in model.seen
    assert "what came after this in your reply was not carried out" in model.seen


async def test_an_answer_written_before_the_output_was_seen_is_not_taken(
    connect: Connect,
) -> None:
    shown, _, model = await answer(
        connect, "```python\nprint(n + 1)\n```\nOutput: 5\nFINAL(5)", code("SUBMIT(n + 1)")
    )
    assert shown == "4"
    assert "you wrote it before you could see the output" in model.seen


async def test_a_computed_answer_beside_code_is_taken(connect: Connect) -> None:
    shown, _, _ = await answer(connect, "```python\nbest_one = n * 2\n```\nFINAL_VAR(best_one)")
    assert shown == "6"


async def test_wrong_names_are_answered_with_those_that_exist(connect: Connect) -> None:
    shown, _, model = await answer(
        connect, code("print(number)"), "FINAL(best_number)", "FINAL_VAR(result)", code("SUBMIT(n)")
    )
    assert shown == "3"
    assert "NameError: name 'number' is not defined" in model.seen
    assert "[variables: n]" in model.seen
    assert "name 'best_number' is not defined" in model.seen
    assert "there is no variable 'result'; there are: n" in model.seen


async def test_an_empty_answer_is_not_taken(connect: Connect) -> None:
    shown, _, model = await answer(
        connect, *(code(f"SUBMIT({empty})") for empty in ("None", "''", "'  '", "", "[]"))
    )
    assert shown == "[]"
    assert model.seen.count("SubmitError: the answer is empty") >= 4
    assert len(model.asked) == 5


async def test_the_same_code_again_is_nudged_and_then_ended(connect: Connect) -> None:
    shown, reply, model = await answer(connect, *[code("print(n)")] * 4, "Three, it seems.")
    assert shown == "'Three, it seems.'"
    assert "NOT SUBMITTED (the same again and again)" in reply
    assert len(model.asked) == 5
    assert "this is the code that you ran just before" in model.asked[2].prompt.text


async def test_the_same_error_again_is_nudged(connect: Connect) -> None:
    shown, _, model = await answer(
        connect, code("x = 1; x.y"), code("x = 2; x.y"), code("SUBMIT(n)")
    )
    assert shown == "3"
    assert "the same error as before" in model.asked[2].prompt.text


async def test_a_space_that_is_lost_on_the_way_is_only_told(connect: Connect) -> None:
    shown, _, model = await answer(
        connect, code("import os; n = 9; os._exit(1)"), code("SUBMIT(n)")
    )
    assert shown == "3"
    assert "LOST" in model.seen


async def test_submitting_in_pmap_is_explained(connect: Connect) -> None:
    shown, _, model = await answer(
        connect, code("pmap(lambda x: SUBMIT(x), [1])"), code("SUBMIT(n)")
    )
    assert shown == "3"
    assert "return the value and submit it after" in model.seen


async def test_helpers_are_put_back_when_a_model_takes_their_names(agent: Agent) -> None:
    reply = await agent.run("SUBMIT = 5; FINAL = 6")
    assert "`SUBMIT` is the name of a helper" in reply
    assert "this is none" in await agent.fails("exec_code", code="SUBMIT(3)")


async def test_a_forged_answer_costs_the_run_alone(connect: Connect) -> None:
    forged = "from rlm_guest import _door\n_door.ask('submit', text={text})\nn = 'went on'"
    for text in ("''", "5", "['x']"):
        async with connect(RootModel(code(forged.format(text=text)))) as agent:
            await agent.run("n = 3")
            reply = await agent.fails("sub_rlm", question="How many?", into="r")
            assert "no variable 'submitted'" in reply
            assert "no variable 'submitted'" in await agent.fails(
                "exec_code", code="sub_rlm('How many?')"
            )
            assert "=> 3" in await agent.run("n")
