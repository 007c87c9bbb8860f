# ruff: noqa: E501 - code in one piece
"""The guest's door to the host, used by hand: whatever is sent is answered or refused."""

from __future__ import annotations

import anyio
import pytest

from rlm_mcp.lm import Answer, LocalOpenAIServer, Request, ScriptedModel, Usage
from rlm_mcp.space import Limits

from ..conftest import Connect
from .conftest import Arena

pytestmark = pytest.mark.anyio

FRAMES = (
    "b''", "b'?'", "b'C'", "b'C{'", "b'C[]'", "b'C1'", "b'Cnull'", "b'C{}'", "b'C\\xff'",
    "b'C{\"op\":{}}'", "b'C{\"op\":[1]}'", "b'C{\"op\":NaN}'", "b'C{\"op\":\"nothing\"}'",
    "b'C' + b'{\"a\":' * 100_000 + b'1' + b'}' * 100_000", "b'C' + b'[' * 100_000",
    "b'C{\"op\":' + b'9' * 10_000 + b'}'", "b'C{\"op\":\"sub_llm\"}'",
    "b'C{\"op\":\"sub_llm\",\"requests\":5}'", "b'C{\"op\":\"sub_llm\",\"requests\":[{\"prompt\":5}]}'",
    "b'C{\"op\":\"sub_llm\",\"requests\":[{\"prompt\":\"a\",\"model\":\"http://127.0.0.1/\"}]}'",
    "b'C{\"op\":\"sub_llm\",\"requests\":[{\"prompt\":\"a\"}],\"concurrency\":1e9}'",
    *(
        f"b'C{{\"op\":\"sub_llm_wait\",{rest}}}'"
        for rest in (
            '"a":1', '"owner":"a","new":5,"cancel":[],"timeout":0',
            '"owner":"","new":[],"cancel":[],"timeout":0',
            '"owner":"a","new":[],"cancel":[],"timeout":1e999',
            '"owner":"a","new":[],"cancel":[],"timeout":-1',
            '"owner":"a","new":[],"cancel":[],"timeout":NaN',
            '"owner":"a","new":[],"cancel":[],"timeout":null',
            '"owner":"a","new":[],"cancel":[],"timeout":1e9',
            '"owner":"a","new":[],"cancel":[1,2,99999999999999999999999999],"timeout":0',
            '"owner":"a","new":[],"cancel":["1"],"timeout":0',
            '"owner":"a","new":[5,null,[]],"cancel":[],"timeout":0',
            '"owner":"a","new":[{"ticket":1,"request":{}}],"cancel":[],"timeout":0',
            '"owner":"a","new":[{"ticket":-1,"request":{}}],"cancel":[],"timeout":0',
            '"owner":"a","new":[{"ticket":"1","request":{"prompt":"a"}}],"cancel":[],"timeout":0',
            '"owner":"a","new":[{"ticket":1,"request":{"prompt":"a","timeout_s":1}}],'
            '"cancel":[],"timeout":0',
            '"owner":"a","new":[{"ticket":1,"request":{"prompt":"a"}},'
            '{"ticket":1,"request":{"prompt":"a"}}],"cancel":[],"timeout":0',
        )
    ),
    "b'C{\"op\":\"sub_llm_rest\"}'", "b'C{\"op\":\"sub_llm_rest\",\"rest\":{}}'",
    "b'C{\"op\":\"sub_llm_estimate\"}'", "b'C{\"op\":\"sub_llm_estimate\",\"requests\":[1]}'",
    "b'C{\"op\":\"pmap\"}'", "b'C{\"op\":\"pmap\",\"shared\":\"\",\"items\":[]}'",
    "b'C{\"op\":\"pmap\",\"shared\":5,\"items\":[\"\"]}'",
    "b'C{\"op\":\"pmap\",\"shared\":\"\",\"items\":[5]}'",
    "b'C{\"op\":\"pmap\",\"shared\":\"\",\"items\":[\"\"],\"workers\":true}'",
    "b'C{\"op\":\"pmap\",\"shared\":\"\",\"items\":[\"\"],\"workers\":1000}'",
    "b'C{\"op\":\"pmap\",\"shared\":\"%\",\"items\":[\"%\"]}'",
    "b'I'", "b'I' + bytes(16)", "b'I' + struct.pack('<IIQ', 0, 2 ** 32 - 1, 0)",
    "b'I' + struct.pack('<IIQ', 2 ** 32 - 1, 10, 2 ** 64 - 1)", "b'I' + b'\\xff' * 16",
    "b'O'", "b'O' + bytes(8)", "b'O' + b'\\xff' * 8", "b'W'", "b'W' + bytes(8)", "b'W' + b'\\xff' * 8",
    "b'R'", "b'R[]'", "b'Q'", "b'A'", "b'N'",
)  # fmt: skip


async def test_every_malformed_call_is_answered_or_refused(arena: Arena) -> None:
    code = (
        "import _host, struct\nsaid = []\n"
        "for frame in frames:\n    try: said.append(_host.call(frame))\n"
        "    except OSError as error: said.append(str(error))\n"
    )
    await arena.agent.run(f"import struct; frames = [{', '.join(FRAMES)}]")
    await arena.attack(f"{code}len(said)")
    assert f"=> {len(FRAMES)}" in await arena.agent.run("len(said)")
    # `R` alone was replaced by the true result: what is handed in last counts.
    assert "TypeError" in await arena.attack("_host.call('text')")
    assert "TypeError" in await arena.attack("_host.call()")


async def test_large_calls_are_refused_and_hold_nobody_up(connect: Connect) -> None:
    limits = Limits(memory_mb=800)
    async with connect(limits=limits) as agent:
        await agent.call("spaces", action="open", space="neighbour")
        await agent.run("mine = [1, 2, 3]", space="neighbour")
        await agent.run("kept = 41; import _host, struct")
        arena = Arena(agent)
        import asyncio

        watching = asyncio.ensure_future(arena.watch())
        text = await arena.attack("_host.call(b'C' + b'x' * (65 << 20))")
        assert "over 64 MB" in text
        text = await arena.attack("_host.call(b'R' + b'x' * (65 << 20)); 5")
        assert "=> 5" in text
        code = "import rlm_guest._door as d\nr = [{'prompt': 'x' * 15_000_000}] * 5\n"
        text = await arena.attack(f"{code}d.ask('sub_llm', requests=r)")
        assert "over 64 MB" in text
        # Twenty million lists take ten seconds and 2 GB to read.
        code = "_host.call(b'C{\"op\":\"x\",\"a\":[' + b'[],' * 20_000_000 + b'0]}')"
        assert "million values" in await arena.attack(code)
        code = '_host.call(b\'C{"op":"x","a":"\' + b\'\\\\"\' * 20_000_000)'
        assert "refused" in await arena.attack(code)
        watching.cancel()


async def test_a_result_too_large_to_hand_in_is_cut(arena: Arena) -> None:
    assert "int 1" in await arena.attack("globals()['x' * 70_000_000] = 1")
    await arena.attack("for n in [n for n in globals() if n[0] == 'x']: del globals()[n]")
    code = "globals().update({f'v{i}' + 'y' * 1000: i for i in range(60_000)})"
    assert "more variables changed" in await arena.attack(code)


async def test_forged_results_lie_about_their_own_execution_only(arena: Arena) -> None:
    forge = (
        "class R:\n    def __repr__(self):\n        import rlm_guest._door as d\n"
        "        d.result = lambda v: d.raw(b'R' + forged)\n        return ''\n"
    )
    fields = (
        '{"output": 5, "tail": {}, "total": -1, "value": [], "error": {}, "changes": 7, "notes": 7}',
        '{"changes": [1, {"name": []}, {"name": "x", "kind": {}, "brief": 5}], "total": true}',
        '{"total": 1' + "0" * 4000 + "}", '{"refused": {"a": 1}}', '{"refused": "no"}',
        '{"error": "' + "\\\\u202e" * 100_000 + '", "stopped": 5}', "[]", "{", "",
        '{"notes": ["' + "n" * 100_000 + '", 5, null]}', '{"text": 5}', '{"variables": [5, {}]}',
        '{"written": "5", "preview": 5, "results": 5}',
    )  # fmt: skip
    for forged in fields:
        await arena.attack(f"{forge}forged = b'''{forged}'''\nR()")
        code = f"{forge}forged = b'''{forged}'''\nr = R()\n_ = None\nNone"
        await arena.agent.call("exec_code", code=code)
        for tool, given in (
            ("peek", {"target": "r"}),
            ("spaces", {"action": "info"}),
            ("sub_llm", {"prompt": "{{r}}", "into": "answer"}),
            ("load_variable", {"name": "copy", "source": "space:main/r"}),
        ):
            reply = await arena.agent.call(tool, **given)
            assert "the server failed" not in reply.text, (forged[:80], tool)
        await arena.agent.call("exec_code", code="r = None")
    big = f"{forge}forged = b'{{\"text\": \"' + b'\\\\u202e' * 5_000_000 + b'\"}}'\nr = R()\nNone"
    await arena.attack(big)
    assert len((await arena.agent.call("peek", target="r")).text) <= 20_000
    await arena.attack("None")


async def test_calls_without_end_are_slowed_and_cost_what_they_say(connect: Connect) -> None:
    model = ScriptedModel(lambda request: "ok")
    async with connect(model=model, limits=Limits(memory_mb=256)) as agent:
        code = "n = 0\nwhile True:\n    sub_llm(f'q{n}'); n += 1"
        reply = await agent.call("exec_code", code=code, timeout_s=0.5)
        assert "STOPPED" in reply.text
        assert "sub-LLM calls" in reply.text
        assert "=> True" in await agent.run("n > 10")


async def test_no_way_around_leads_past_a_budget(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    ways = (
        "pmap(lambda i: sub_llm_map([f'p{i}.{j}' for j in range(50)], on_error='return'), range(4))",
        "import asyncio\nasync def a(i):\n    try: await asyncio.wait_for(asub_llm(f'w{i}'), 0.01)\n"
        "    except (TimeoutError, SubLLMError): pass\n"
        "for i in range(9): await asyncio.gather(*(a((i, j)) for j in range(50)))",
        "import rlm_guest._door as d\nfor i in range(60):\n"
        "    d.ask('sub_llm', requests=[{'prompt': f'd{i}', 'fresh': True}] * 5, concurrency=5)",
        "for i in range(60):\n    try: sub_rlm(f'r{i}', max_llm_calls=1000, budget={'calls': 1000})\n"
        "    except SubLLMError: pass",
        "sub_llm_map([f'm{i}' for i in range(100)], on_error='return', concurrency=100)",
    )
    with LocalOpenAIServer(delay_s=0.02) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        monkeypatch.setenv("OPENAI_API_KEY", "any")
        async with connect(sub_model="openai/any", max_calls=60) as agent:
            for way in ways:
                await agent.call("exec_code", code=way, budget={"calls": 20}, timeout_s=20)
            asked = len(server.requests)
            assert 30 <= asked <= 60  # what was given up at once may not have been sent
            text = await agent.fails("exec_code", code="sub_llm('more', fresh=True)")
            assert "budget: space main has" in text
            info = (await agent.call("spaces", action="info")).text
            spent = int(info.partition("spent: ")[2].partition(" ")[0])
            assert asked <= spent <= 60


async def test_tickets_without_end_are_bounded_and_end_with_the_execution(
    connect: Connect,
) -> None:
    model = _Never()
    async with connect(model=model, limits=Limits(memory_mb=256)) as agent:
        begin = (
            "import rlm_guest._door as d\n"
            "def send(owner, tickets, cancel=(), timeout=0):\n"
            "    new = [{'ticket': t, 'request': {'prompt': 'q'}} for t in tickets]\n"
            "    return d.ask('sub_llm_wait', owner=owner, new=new, cancel=list(cancel),\n"
            "                 timeout=timeout)['done']\n"
        )
        await agent.run(begin)
        code = (
            "said = [send('a', range(6000)), send('b', range(6000))]\n"
            "kinds = {m['error']['message'][:41] for m in said[1]}\n"
            "len(said[0]), len(said[1]), kinds"
        )
        reply = await agent.run(code)
        assert "=> (0, 2000, {'an execution waits for at most 10,000 cal'})" in reply
        assert "100 sub-LLM calls (100 failed)" in reply
        assert model.in_flight == 0
        for code, expected in (
            ("send('a', [1]); send('a', [1])", "ticket 1 is in flight already"),
            ("for i in range(100): send(f'o{i}', [1])", "over 64 event loops"),
            ("send('a', range(10_001))", "too many"),
        ):
            assert expected in await agent.fails("exec_code", code=code), code
        # What is cancelled makes room; what was never begun can be cancelled.
        code = "for i in range(100): send('a', [i]); send('a', [], [i, i + 1, 7**7])\nsend('a', [])"
        assert "=> []" in await agent.run(code)
        assert model.in_flight == 0


class _Never:
    """A model that never answers."""

    in_flight = 0

    async def ask(self, request: Request) -> Answer:
        self.in_flight += 1
        try:
            await anyio.sleep_forever()
        finally:
            self.in_flight -= 1
        raise AssertionError

    async def estimate(self, request: Request) -> Usage:
        return Usage.guess(request)

    async def aclose(self) -> None: ...
