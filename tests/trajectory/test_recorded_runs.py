"""Recursive runs in the record: an iteration each, with what it asked and what it ran."""

from __future__ import annotations

import pytest

from ..conftest import Connect
from ..recursion._roots import RootModel, code
from .conftest import Recorded

pytestmark = pytest.mark.anyio


async def test_a_run_is_a_tree_of_iterations_and_nested_runs(
    connect: Connect, recorded: Recorded
) -> None:
    model = RootModel(
        code("found = sub_llm('look')"),
        code("SUBMIT([found, sub_rlm('below')])"),
        code("SUBMIT('deep')"),
    )
    async with connect(model) as agent:
        await agent.run("r = sub_rlm('above')")
    spans = recorded()
    number = {span["id"]: index for index, span in enumerate(spans)}
    tree = [(span["kind"], number.get(span["parent"])) for span in spans]
    assert tree == [
        ("execution", None),
        ("sub_rlm", 0),
        ("iteration", 1),
        ("sub_llm", 2),
        ("execution", 2),
        ("sub_llm", 4),
        ("iteration", 1),
        ("sub_llm", 6),
        ("execution", 6),
        ("sub_rlm", 8),
        ("iteration", 9),
        ("sub_llm", 10),
        ("execution", 10),
    ]
    assert {span["status"] for span in spans} == {"ok"}
    assert spans[1]["detail"]["question"] == "above"
    assert spans[1]["detail"]["iterations"] == 2
    assert spans[1]["detail"]["calls"] == spans[0]["detail"]["calls"] == 4
    assert spans[2]["space"] == spans[1]["detail"]["fork"]
    assert spans[4]["detail"]["code"] == "found = sub_llm('look')"
    assert spans[4]["detail"]["calls"] == 1
    assert spans[10]["space"].startswith("main.rlm-")
    assert spans[10]["space"].count(".rlm-") == 2


async def test_the_tool_is_the_root_of_its_tree(connect: Connect, recorded: Recorded) -> None:
    async with connect(RootModel(code("1 / 0"), code("SUBMIT(1)"))) as agent:
        await agent.call("sub_rlm", question="What?")
    top, *rest = recorded()
    assert (top["kind"], top["parent"], top["detail"]["question"]) == ("sub_rlm", None, "What?")
    failed, fine = (span for span in rest if span["kind"] == "execution")
    assert (failed["status"], fine["status"]) == ("failed", "ok")
    assert "ZeroDivisionError" in failed["detail"]["error"]
