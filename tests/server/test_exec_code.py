"""What an agent gets from `exec_code`."""

import pytest

from ..conftest import Agent

pytestmark = pytest.mark.anyio


async def test_the_last_expression_is_shown(agent: Agent) -> None:
    assert "=> 42" in await agent.run("6 * 7")


async def test_variables_persist_between_executions(agent: Agent) -> None:
    reply = await agent.run("rows = [1, 2, 3]")
    assert "+ rows: list 3 items: [1, 2, 3]" in reply
    assert "=> 6" in await agent.run("sum(rows)")


async def test_an_exception_is_an_error_with_the_frames_of_the_code_alone(agent: Agent) -> None:
    text = await agent.fails("exec_code", code="def f():\n    return 1 / 0\nf()")
    assert "ZeroDivisionError" in text
    assert "return 1 / 0" in text
    assert "rlm_guest" not in text


async def test_code_is_stopped_at_its_deadline_and_variables_stay(agent: Agent) -> None:
    text = await agent.fails(
        "exec_code", code="n = 0\nprint('begun')\nwhile True:\n    n += 1", timeout_s=0.3
    )
    assert "STOPPED" in text
    assert "begun" in text
    assert "=> True" in await agent.run("n > 0")
