"""What every client relies on, whatever the tool: eras, lists, errors, progress, cancelling."""

from __future__ import annotations

import asyncio

import anyio
import pytest

from rlm_mcp.lm import Answer, Request, ScriptedModel

from ..conftest import LATE, PATIENCE, Agent, Connect

pytestmark = pytest.mark.anyio

ERAS = pytest.mark.parametrize("era", ["auto", "legacy"])


@ERAS
async def test_a_call_works_in_both_eras_of_the_protocol(connect: Connect, era: str) -> None:
    async with connect(mode=era) as agent:
        assert (agent.client.protocol_version >= "2026") is (era == "auto")
        assert "=> 42" in await agent.run("6 * 7")
        assert "ZeroDivisionError" in await agent.fails("exec_code", code="1 / 0")


@ERAS
async def test_the_list_of_tools_fits_the_clients(connect: Connect, era: str) -> None:
    async with connect(mode=era) as agent:
        listed = await agent.client.list_tools()
        wire = listed.model_dump_json(by_alias=True, exclude_none=True)
        assert len(wire) < 12_000
        tools = {tool.name: tool for tool in listed.tools}
        assert {
            "load_variable", "exec_code", "peek", "sub_llm", "sub_rlm", "save_variable", "spaces",
        } <= tools.keys()  # fmt: skip
        for tool in listed.tools:
            assert tool.description
            assert len(tool.description) < 2048
            assert tool.output_schema is None
            assert "space" in tool.input_schema["properties"]
            for argument in tool.input_schema["properties"].values():
                assert "title" not in argument
        for name, reads, destroys, open_world in (
            ("peek", True, False, False),
            ("exec_code", False, False, False),
            ("sub_llm", False, False, True),
            ("sub_rlm", False, False, True),
            ("save_variable", False, True, False),
            ("spaces", False, True, False),
        ):
            hints = tools[name].annotations
            assert hints is not None
            assert hints.read_only_hint is reads, name
            assert hints.destructive_hint is destroys, name
            assert hints.open_world_hint is open_world, name
        required = {name: tool.input_schema.get("required") for name, tool in tools.items()}
        assert required["exec_code"] == ["code"]
        assert required["load_variable"] == ["name"]
        assert not required["spaces"]


@ERAS
async def test_the_beginning_of_the_instructions_makes_sense_alone(
    connect: Connect, era: str
) -> None:
    async with connect(mode=era) as agent:
        instructions = agent.client.instructions
    assert instructions is not None
    first, _, rest = instructions.partition("\n\n")
    assert len(first) <= 512, "a client that cuts there must not cut the first paragraph"
    assert rest
    for word in ("load_variable", "exec_code", "peek", "sub_llm", "save_variable", "context"):
        assert word in first


async def test_mistakes_in_a_call_are_errors_that_name_what_is_right(agent: Agent) -> None:
    text = await agent.fails("load_var", name="x")
    assert "no tool 'load_var'" in text
    assert "load_variable" in text
    text = await agent.fails("exec_code", cod="1")
    assert "`code` is missing" in text
    assert "no argument `cod`" in text
    assert "timeout_s" in text
    text = await agent.fails("exec_code", code="1", timeout_s="soon")
    assert "`timeout_s`" in text
    assert "`max_chars`" in await agent.fails("exec_code", code="1", max_chars=50_000)
    text = await agent.fails("peek", target="x", unit="words")
    assert "'chars', 'lines' or 'items'" in text
    assert "'undo'" in await agent.fails("spaces", action="revert")
    assert "=> 1" in await agent.run("1")


async def test_a_huge_wrong_argument_does_not_come_back(agent: Agent) -> None:
    calls: list[tuple[str, dict[str, object]]] = [
        ("peek", {"target": "x" * 100_000}),
        ("load_variable", {"name": "n " * 50_000, "value": 1}),
        ("load_variable", {"name": "v", "source": "/" + "s" * 100_000}),
        ("exec_code", {"code": "1", "space": "s" * 100_000}),
        ("spaces", {"action": "restore", "name": "c" * 100_000}),
        ("x" * 100_000, {}),
    ]
    for tool, arguments in calls:
        text = await agent.fails(tool, **arguments)
        assert len(text) < 5_000, (tool[:20], text[:200])


@ERAS
async def test_a_long_call_reports_progress(connect: Connect, era: str) -> None:
    said: list[tuple[float, str]] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        said.append((progress, message or ""))

    async with connect(mode=era) as agent:
        await agent.run("1")
        await agent.client.call_tool(
            "exec_code", {"code": "import time; time.sleep(2.5)"}, progress_callback=note
        )
    numbers = [number for number, _ in said]
    assert len(numbers) >= 2
    assert numbers == sorted(set(numbers)), "progress must grow"
    assert "execution" in said[0][1]


@ERAS
async def test_a_cancelled_call_stops_the_code_and_keeps_the_variables(
    connect: Connect, era: str
) -> None:
    begun = anyio.Event()

    def answer(_request: object) -> str:
        begun.set()
        return "go on"

    async with connect(ScriptedModel(answer), mode=era) as agent:
        await agent.run("n = -1")
        async with anyio.create_task_group() as group:
            group.start_soon(agent.run, "n = 0\nsub_llm('begin')\nwhile True: n += 1")
            await begun.wait()
            await agent.call("spaces")
            group.cancel_scope.cancel()
        with anyio.fail_after(LATE):
            assert "=> True" in await agent.run("n >= 0")
        assert "+ after" in await agent.run("after = n + 1")


async def test_a_call_cancelled_while_it_waits_for_its_turn_never_runs(connect: Connect) -> None:
    begun, go_on = anyio.Event(), anyio.Event()

    async with connect(_Held(begun, go_on)) as agent, anyio.create_task_group() as first:
        await agent.run("seen = []")
        first.start_soon(agent.run, "seen.append(1)\nsub_llm('hold')")
        await begun.wait()
        async with anyio.create_task_group() as second:
            second.start_soon(agent.run, "seen.append(2)")
            await agent.call("spaces")
            second.cancel_scope.cancel()
        go_on.set()
        assert "=> [1, 3]" in await agent.run("seen.append(3)\nseen")


class _Held:
    """A model that answers when it is let go."""

    def __init__(self, begun: anyio.Event, go_on: anyio.Event) -> None:
        self.begun, self.go_on = begun, go_on

    async def ask(self, request: Request) -> Answer:
        self.begun.set()
        await self.go_on.wait()
        return Answer("held")

    async def aclose(self) -> None: ...


async def test_replies_have_no_more_characters_than_was_asked_for(agent: Agent) -> None:
    await agent.run("big = 'x' * 100_000; rows = [{'k': 'v' * 500}] * 500")
    for limit in (200, 1000, 8000, 20_000):
        for code in (
            "print(big)",
            "big",
            "rows",
            "raise ValueError(big)",
            "print('\\x00' * 50_000)",
            "print(big)\n'\\x1b' * 50_000",
            "print('a' * 50_000)\nraise ValueError('\\u202e' * 50_000)",
            "for i in range(300): globals()[f'v{i}'] = '\\x00' * 300",
        ):
            reply = await agent.call("exec_code", code=code, max_chars=limit)
            # A short limit still leaves room for what must be said.
            assert len(reply.text) <= max(limit, 1200), (limit, code)
            assert len(reply.text) <= 20_000


async def test_a_call_can_be_cancelled_at_every_moment(agent: Agent) -> None:
    async def use() -> None:
        while True:  # refused within some turns of the event loop
            await agent.fails("peek", target="x", space="nowhere")

    for turns in range(200):
        using = asyncio.create_task(use())
        for _ in range(turns):
            await asyncio.sleep(0)
        using.cancel()
        await asyncio.wait([using], timeout=PATIENCE)
        assert using.cancelled(), f"after {turns} turns it went on"
