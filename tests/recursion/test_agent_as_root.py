"""The calling agent, or a subagent of its own, as the root model of a run."""

from __future__ import annotations

import pytest

from ..conftest import Connect
from ._roots import code

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("tool", [True, False], ids=["the tool", "code"])
async def test_the_agent_answers_as_the_root_model_while_the_run_is_suspended(
    connect: Connect, tool: bool
) -> None:
    async with connect(sub_model="agent") as agent:
        await agent.run("rows = [1, 2, 3]")
        if tool:
            reply = await agent.call("sub_rlm", question="How many rows?", into="n")
        else:
            reply = await agent.call("exec_code", code="n = sub_rlm('How many rows?')")
        assert "SUSPENDED" in reply.text, reply.text
        assert "How many rows?" in reply.text
        reply = await agent.call("answer_sub_llm", answers={"q1": code("print(len(rows))")})
        assert "SUSPENDED" in reply.text, reply.text
        assert "goes on from q1" in reply.text
        assert "[turn 1 of 20 done" in reply.text
        assert "How many rows?" not in reply.text  # a turn costs what is new in it
        whole = await agent.call("answer_sub_llm", answers={})
        assert "How many rows?" in whole.text
        reply = await agent.call("answer_sub_llm", answers={"q2": code("SUBMIT(len(rows))")})
        assert not reply.failed, reply.text
        assert "=> 3" in await agent.run("n")
