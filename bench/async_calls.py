"""Sub-LLM calls as code in the sandbox makes them: 1,000 of 100 ms, 100 at a time.

Real from end to end: an MCP client, over stdio the command `rlm-mcp serve`, the sandbox, HTTP to a
server with the OpenAI protocol in a process of its own.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator

from mcp.client.client import Client

from ._common import Report, median, ms, run, spread, temporary_folder
from .roundtrip import server

CALLS, AT_ONCE, DELAY_S = 1_000, 100, 0.1
IDEAL_S = CALLS / AT_ONCE * DELAY_S
SERVE = f"""
import sys
from rlm_mcp.lm import LocalOpenAIServer
with LocalOpenAIServer(lambda messages: "yes", delay_s={DELAY_S}) as server:
    print(server.base_url, flush=True)
    sys.stdin.read()
    print(server.max_concurrency, flush=True)
"""
SETUP = """
import asyncio, time
async def bounded(room, prompt):
    async with room: return await asub_llm(prompt)
async def each(room, prompts):
    return await asyncio.gather(*(bounded(room, p) for p in prompts))
async def together(prompts):
    return await asyncio.gather(*(asub_llm(p) for p in prompts))
def checked(answers): assert answers == ['yes'] * len(answers); return len(answers)
"""
FORMS = {
    "`sub_llm_map`": ("checked(sub_llm_map(prompts, concurrency=100))", 1.3),
    "`asyncio.gather`": ("checked(await together(prompts))", 1.5),
    "`asyncio.gather`, with a `Semaphore(100)` of the code's own": (
        "checked(await each(asyncio.Semaphore(100), prompts))",
        None,
    ),
}


@contextlib.contextmanager
def model_server() -> Iterator[str]:
    """A server with the OpenAI protocol; gives its address."""
    command = [sys.executable, "-c", SERVE]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        yield child.stdout.readline().strip()
        child.stdin.close()
        most = int(child.stdout.readline())
        assert most <= AT_ONCE, most


@contextlib.asynccontextmanager
async def connect() -> AsyncIterator[Client]:
    """A client of a server whose sub-model is a local server."""
    with temporary_folder() as folder, model_server() as address:
        environment = {"OPENAI_BASE_URL": address, "OPENAI_API_KEY": "any"}
        transport = server(str(folder / "home"), "--sub-model", "openai/bench", **environment)
        async with Client(transport) as client:
            yield client


async def execute(client: Client, code: str) -> float:
    """Run code that must work; return the seconds that its caller waited."""
    begin = time.perf_counter()
    result = await client.call_tool("exec_code", {"code": code})
    took = time.perf_counter() - begin
    assert not result.is_error, result.content
    return took


async def measure(report: Report) -> None:
    """Time each form in turn, so that a disturbance of the machine reaches all of them."""
    rounds = report.pick(2, 5)
    times: dict[str, list[float]] = {name: [] for name in FORMS}
    single: list[float] = []
    number = 0
    async with connect() as client:
        await execute(client, f"{SETUP}\nsub_llm('warm')")
        empty = median([await execute(client, "None") for _ in range(5)])
        for _ in range(rounds):
            for name, (code, _) in FORMS.items():
                number += 1
                prompts = f"prompts = [f'{number}: is {{n}} even?' for n in range({CALLS})]"
                await execute(client, prompts)
                times[name].append(await execute(client, code))
            for _ in range(5):
                number += 1
                took = await execute(client, f"await asub_llm('{number}')")
                single.append(took - empty - DELAY_S)
    for name, (_, reach) in FORMS.items():
        ratio = median(times[name]) / IDEAL_S
        report.row(
            f"{CALLS:,} calls of {ms(DELAY_S)} by {name}, {AT_ONCE} at a time",
            spread(times[name]),
            baseline=f"ideal {ms(IDEAL_S)}",
            ratio=ratio,
            reach=f"at most {reach}x" if reach else "",
            ok=ratio <= reach if reach else None,
        )
    report.row("one awaited call, beyond the server's delay and an empty execution", spread(single))


if __name__ == "__main__":
    run(measure)
