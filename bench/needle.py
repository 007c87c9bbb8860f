"""A needle task over a large log: how much of the data enters the context of who works on it.

The same question twice: by a scripted root model in a recursive run (`sub_rlm`), and by a scripted
agent that calls the tools over MCP. The scripts do what a model would: look at the preview, search,
follow what was found to a second place, verify, answer.
"""

from __future__ import annotations

import random
import re
import time
from pathlib import Path

from mcp.client.client import Client

from rlm_mcp.lm import Request, ScriptedModel
from rlm_mcp.server import make_server
from rlm_mcp.settings import Settings, load_settings
from rlm_mcp.space import Limits

from ._common import MB, Report, run, size, temporary_folder

HOST = "db-needle-07"
SESSION = "5f3a9c"
QUESTION = (
    "`log` is the log of a shop. One payment failed with a checksum mismatch. On which host did "
    "the session of that payment begin?"
)
STEPS = (
    "The preview shows lines. First the failure.\n```python\n"
    "hits = grep('checksum mismatch', log)\nprint(len(hits)); print(hits[0].text)\n```",
    "The session is in that line.\n```python\n"
    "session = re.search(r'session=(\\w+)', hits[0].text)[1]\n"
    "begins = grep(f'begin session={session}', log)\nprint(begins)\n```".replace(
        "```python\n", "```python\nimport re\n", 1
    ),
    "One line; verify that no other host began it, then answer.\n```python\n"
    "hosts = {re.search(r'host=(\\S+)', hit.text)[1] for hit in begins}\n"
    "assert len(hosts) == 1, hosts\nSUBMIT(hosts.pop())\n```",
)


def write_log(path: Path, length: int) -> None:
    """A log with the two lines that matter far apart."""
    chance = random.Random(7)
    with path.open("w") as file:
        written = 0
        begun = failed = False
        while written < length:
            lines = [
                f"2026-11-22T10:{chance.randrange(60):02}:{chance.randrange(60):02} INFO "
                f"host=web-{chance.randrange(40):02} begin session={chance.randrange(1 << 32):08x} "
                f"items={chance.randrange(20)} ms={chance.randrange(900)}\n"
                for _ in range(10_000)
            ]
            if not begun and written > length * 0.2:
                lines[500] = f"2026-11-22T10:11:12 INFO host={HOST} begin session={SESSION} x\n"
                begun = True
            if not failed and written > length * 0.7:
                lines[77] = f"2026-11-22T10:12:09 ERROR pay session={SESSION} checksum mismatch\n"
                failed = True
            text = "".join(lines)
            file.write(text)
            written += len(text)


class Root:
    """The scripted root model: counts the characters that it is shown."""

    def __init__(self) -> None:
        self.shown: list[int] = []

    def __call__(self, request: Request) -> str:
        """The next step."""
        prompt = request.prompt
        texts = [prompt.system or "", prompt.text, *(turn.text for turn in prompt.history)]
        self.shown.append(sum(map(len, texts)))
        return STEPS[len(self.shown) - 1]


async def measure(report: Report) -> None:
    length = report.pick(20, 200) * MB
    root = Root()
    with temporary_folder() as folder:
        write_log(folder / "shop.log", length)
        settings = Settings(
            home=folder / "home",
            cache=load_settings({}).cache,
            allow=(Path(folder),),
            space="main",
            limits=Limits(memory_mb=2048),
        )
        async with Client(make_server(settings, ScriptedModel(root))) as client:
            read: list[int] = []

            async def call(tool: str, **arguments: object) -> str:
                found = await client.call_tool(tool, arguments)
                text = "".join(part.text for part in found.content if part.type == "text")
                assert not found.is_error, text
                read.append(len(text))
                return text

            begin = time.perf_counter()
            await call("load_variable", name="log", source="shop.log")
            loaded = time.perf_counter() - begin
            begin = time.perf_counter()
            for step in STEPS[:2]:
                code = re.search(r"```python\n(.*)```", step, re.DOTALL)
                assert code is not None
                answer = await call("exec_code", code=code[1])
            assert HOST in answer, answer
            agent, agent_s = sum(read), time.perf_counter() - begin
            begin = time.perf_counter()
            found = await call("sub_rlm", question=QUESTION, variables=["log"])
            assert HOST in found, found
            took = time.perf_counter() - begin
    data = length
    report.row(
        f"characters in the context of an agent that finds two lines in a log of {size(data)}, "
        f"over MCP ({len(read) - 1} calls)",
        f"{agent:,}, 1 in {data // agent:,}",
        baseline=f"{data:,} characters of data",
    )
    report.row(
        f"the same by the root model of a recursive run ({len(root.shown)} iterations), its last "
        "and longest prompt",
        f"{max(root.shown):,}, 1 in {data // max(root.shown):,}",
        baseline=f"{data:,} characters of data",
    )
    report.note(
        f"needle: loading took {loaded:.1f} s, the agent's two executions {agent_s:.1f} s, the "
        f"recursive run {took:.1f} s; all prompts of the run together have "
        f"{sum(root.shown):,} characters"
    )


if __name__ == "__main__":
    run(measure)
