"""Running the demo's script against a server, and showing each call."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import sys
import sysconfig
import textwrap
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.shared.exceptions import MCPError
from rich.console import Console
from rich.markup import escape

from ..errors import RlmError
from ..lm import LocalOpenAIServer
from ._demo_model import answer_demo
from ._demo_script import SPACE, Call, make_script

WIDTH = 110
"""Characters of a line, on a terminal at most its width."""
CODE_LINES = 14
CALL_SECONDS = 900.0
REPORT = "report.md"


class DemoError(RlmError):
    """A step of the demo did not work."""


@dataclass(frozen=True)
class Outcome:
    """What the session came to.

    Args:
        sent: characters of the arguments of all calls.
        received: characters of all replies.
        described: characters of the tools' descriptions and the instructions.
        held: characters in variables at the end.
        report: the file that was written.
    """

    sent: int
    received: int
    described: int
    held: int
    report: Path


def run_demo(console: Console, cache: Path, folder: Path, model: str | None) -> Outcome:
    """Run the script.

    Args:
        console: shows it.
        cache: of the prepared sandbox.
        folder: empty; takes the home and the report.
        model: the sub-model, or `None` for the stand-in.

    Raises:
        DemoError: a step did not work.
    """
    home, work = folder / "home", folder / "work"
    work.mkdir()
    library = Path(sysconfig.get_paths()["stdlib"])
    with _environment(model) as environment:
        parameters = StdioServerParameters(
            command=sys.executable,
            args=[
                "-P", "-m", "rlm_mcp.cli", "serve", "--home", str(home), "--cache", str(cache),
                "--allow", str(library), "--space", SPACE,
            ],
            env=environment,
            cwd=work,
        )  # fmt: skip
        log = folder / "server.log"
        try:
            with log.open("w", encoding="utf-8") as errors:
                outcome = asyncio.run(_session(console, parameters, errors, library, work))
        except DemoError:
            _show_log(console, log)
            raise
        except (ExceptionGroup, MCPError, OSError) as error:
            _show_log(console, log)
            raise DemoError(f"the server could not be used: {_leaf(error)!r}") from error
    if not outcome.report.is_file():
        raise DemoError(f"the report {outcome.report} was not written")
    return outcome


@contextlib.contextmanager
def _environment(model: str | None) -> Iterator[dict[str, str]]:
    """The server's environment: the user's for a real model, next to nothing for the stand-in."""
    # No settings but the demo's, whatever the user has set.
    fixed = {"RLM_MCP_CONFIG": os.devnull}
    if model is not None:
        kept = _without_settings(os.environ)
        yield {**kept, **fixed, "RLM_MCP_SUB_MODEL": model}
        return
    with LocalOpenAIServer(answer_demo) as server:
        yield {
            **fixed,
            "RLM_MCP_SUB_MODEL": "openai/demo",
            "OPENAI_BASE_URL": server.base_url,
            "OPENAI_API_KEY": "local",
        }


def _without_settings(environ: Mapping[str, str]) -> dict[str, str]:
    return {k: v for k, v in environ.items() if not k.startswith(("RLM_MCP_", "CLAUDE_"))}


def _leaf(error: BaseException) -> BaseException:
    return _leaf(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


def _show_log(console: Console, log: Path) -> None:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    if lines:
        console.print("The server's log ends with:")
        for line in lines[-10:]:
            console.print(f"  {line[:200]}", markup=False)


async def _session(
    console: Console, parameters: StdioServerParameters, errors: TextIO, library: Path, work: Path
) -> Outcome:
    transport = stdio_client(parameters, errlog=errors)
    async with Client(transport, read_timeout_seconds=CALL_SECONDS) as client:
        tools = (await client.list_tools()).tools
        described = sum(len(tool.model_dump_json(exclude_none=True)) for tool in tools)
        described += len(client.instructions or "")
        session = _Session(console, client)
        try:
            reply = await _play(console, session, library)
        except (DemoError, MCPError) as error:
            # Raised inside, it would come out of the client wrapped in groups.
            failure: Exception | None = error
        else:
            failure = None
    if failure is not None:
        raise DemoError(str(failure)) from failure
    held = re.search(r"characters in variables: ([\d,]+)", reply)
    if held is None:
        raise DemoError("the last step did not say how much lay in variables")
    count = int(held[1].replace(",", ""))
    return Outcome(session.sent, session.received, described, count, work / REPORT)


async def _play(console: Console, session: _Session, library: Path) -> str:
    """Carry out the script; returns the last reply."""
    reply = ""
    steps = make_script(library, REPORT)
    for number, step in enumerate(steps, 1):
        console.rule(f"[bold]{number}/{len(steps)}  {step.title}", align="left")
        for call in step.calls:
            reply = await session.call(call)
    return reply


def line_width(console: Console) -> int:
    """Characters that fit beside a mark."""
    return min(WIDTH, max(console.width - 6, 40)) if console.is_terminal else WIDTH


class _Session:
    """Calls tools as an agent does, shows it, and counts the characters."""

    def __init__(self, console: Console, client: Client) -> None:
        self._console = console
        self._client = client
        self._width = line_width(console)
        self.sent = 0
        self.received = 0

    async def call(self, call: Call) -> str:
        """Call a tool that must work; returns its reply.

        Raises:
            DemoError: it did not.
        """
        self._console.print(textwrap.fill(call.why, min(self._width, 90)))
        self._show_arguments(call)
        self.sent += len(call.tool) + len(json.dumps(call.arguments, ensure_ascii=False))
        begin = time.monotonic()
        reply, failed = await self._ask(call)
        seconds = time.monotonic() - begin
        self.received += len(reply)
        self._show_reply(reply, seconds, call.lines if not failed else 40)
        if failed:
            hint = " (--local uses a stand-in for the model)" if call.tool == "sub_llm" else ""
            raise DemoError(f"`{call.tool}` failed in the demo{hint}; run `rlm-mcp doctor`")
        return reply

    async def _ask(self, call: Call) -> tuple[str, bool]:
        if not self._console.is_terminal:
            result = await self._client.call_tool(call.tool, call.arguments)
        else:
            with self._console.status(f"{call.tool} ...") as status:

                async def tell(progress: float, total: float | None, message: str | None) -> None:
                    status.update(escape(f"{call.tool}: {message}"))

                result = await self._client.call_tool(
                    call.tool, call.arguments, progress_callback=tell
                )
        texts = [part.text for part in result.content if part.type == "text"]
        return "\n".join(texts), bool(result.is_error)

    def _show_arguments(self, call: Call) -> None:
        code = call.arguments.get("code")
        inline = [
            f"{name}={'...' if name == 'code' else _short(value)}"
            for name, value in call.arguments.items()
        ]
        self._line("cyan", "->", f"{call.tool}({', '.join(inline)})")
        if code is not None:
            self._block("cyan", code.splitlines(), CODE_LINES)

    def _show_reply(self, reply: str, seconds: float, most: int) -> None:
        self._line("green", "<-", f"{len(reply):,} characters, {seconds:.1f} s")
        lines = reply.splitlines()
        # The last line says what it cost; it is worth more than one from the middle.
        if len(lines) > most + 1:
            self._block("green", lines[: most - 1], most - 1)
            self._line("green", " |", f"... {len(lines) - most} more lines ...", dim=True)
            self._block("green", lines[-1:], 1)
        else:
            self._block("green", lines, most + 1)
        self._console.print()

    def _block(self, colour: str, lines: list[str], most: int) -> None:
        # The note on what is left out takes a line too, so it never stands for one alone.
        shown = lines if len(lines) == most + 1 else lines[:most]
        for line in shown:
            self._line(colour, " |", line)
        if len(lines) > len(shown):
            self._line(colour, " |", f"... {len(lines) - most} more lines ...", dim=True)

    def _line(self, colour: str, mark: str, text: str, *, dim: bool = False) -> None:
        text = text if len(text) <= self._width else f"{text[: self._width - 3]}..."
        body = f"[dim]{escape(text)}[/dim]" if dim else escape(text)
        self._console.print(f"  [{colour}]{mark}[/{colour}] {body}")


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 100 else f"{text[:97]}..."
