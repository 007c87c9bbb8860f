"""What the examples share: a session with `rlm-mcp serve` over stdio, shown call by call.

The server gets a temporary home, so that an example leaves nothing behind, and one folder that it
may read from and write to. Sub-LLM calls go to the model that you have set (RLM_MCP_SUB_MODEL, or
a provider's key); where there is none, to a small function of the example on this machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

from rlm_mcp.lm import AGENT, LocalOpenAIServer, choose
from rlm_mcp.settings import load_settings

Answer = Callable[[str], str]

# Runs in the sandbox: how many characters some variables hold.
_COUNT = """\
def _characters(value):
    if isinstance(value, (str, bytes)):
        return len(value)
    if isinstance(value, dict):
        return sum(_characters(key) + _characters(item) for key, item in value.items())
    if isinstance(value, (list, tuple, set)):
        return sum(map(_characters, value))
    return len(value.to_csv() if hasattr(value, "to_csv") else repr(value))
sum(map(_characters, [{names}]))"""


class ToolFailedError(Exception):
    """A tool replied with an error; the text is the reply."""


class Agent:
    """Calls tools as a coding agent does, prints each call, and counts what it reads and writes."""

    def __init__(self, client: Client, described: int) -> None:
        self._client = client
        self.context = described
        """Characters in the agent's context so far; at first the descriptions of the tools."""

    async def call(self, tool: str, /, why: str = "", **arguments: Any) -> str:
        """Call a tool; returns its reply.

        Args:
            tool: its name.
            why: a sentence for who watches; it is not sent.
            arguments: of the tool.
        """
        print(f"\n# {why}" if why else "")
        print(f"-> {tool}({_short(arguments)})")
        reply, failed = await self._send(tool, arguments)
        self.context += len(json.dumps(arguments, ensure_ascii=False)) + len(reply)
        for line in reply.splitlines():
            print(f"   | {line if len(line) <= 110 else line[:107] + '...'}")
        if failed:
            raise ToolFailedError(reply)
        return reply

    async def conclude(self, *names: str) -> None:
        """Print how much the agent has read and written, and how much the variables hold."""
        reply, _ = await self._send("exec_code", {"code": _COUNT.format(names=", ".join(names))})
        held = int(reply.partition("=> ")[2].split()[0])
        print(
            f"\ncharacters in the agent's context: {self.context:,}; "
            f"characters in variables: {held:,}"
        )

    async def _send(self, tool: str, arguments: dict[str, Any]) -> tuple[str, bool]:
        result = await self._client.call_tool(tool, arguments, progress_callback=_show_progress)
        text = "".join(part.text for part in result.content if part.type == "text")
        return text, bool(result.is_error)


@contextlib.asynccontextmanager
async def connect(
    folder: Path, answer: Answer | None = None, allow: Path | None = None
) -> AsyncIterator[Agent]:
    """A session with a server of its own.

    Args:
        folder: the one that it may read from and write to.
        answer: gives the sub-model's answer to a prompt, where no model is set; left out if the
            example asks none.
        allow: a further folder to read from.
    """
    more = ["--allow", str(allow)] if allow else []
    with environment(answer) as environ:
        server = StdioServerParameters(
            command=sys.executable,
            args=["-P", "-m", "rlm_mcp.cli", "serve", "--space", "example", *more],
            env=environ,
            cwd=folder,
        )
        async with Client(stdio_client(server), read_timeout_seconds=600) as client:
            tools = (await client.list_tools()).tools
            described = sum(len(tool.model_dump_json(exclude_none=True)) for tool in tools)
            yield Agent(client, described + len(client.instructions or ""))


@contextlib.contextmanager
def environment(answer: Answer | None = None) -> Iterator[dict[str, str]]:
    """The environment of a server or command with a home of its own, and the model that you set.

    Args:
        answer: as for `connect`.
    """
    with tempfile.TemporaryDirectory(prefix="rlm-mcp-example-") as home, _model(answer) as model:
        yield {
            **{name: value for name, value in os.environ.items() if "RLM_MCP" not in name},
            **model,
            "RLM_MCP_CONFIG": os.devnull,
            "RLM_MCP_CACHE": str(load_settings().cache),
            "RLM_MCP_HOME": home,
        }


@contextlib.contextmanager
def _model(answer: Answer | None) -> Iterator[dict[str, str]]:
    """The variables that name the models."""
    settings = load_settings()
    name = choose(settings.sub_model, os.environ)
    if answer is None:
        yield {}
    elif name != AGENT and not name.startswith("cli/"):
        root = settings.root_model or name
        print(f"sub-model: {name}, root model: {root}, as you have set them")
        yield {"RLM_MCP_SUB_MODEL": name, "RLM_MCP_ROOT_MODEL": root}
    else:
        print("sub-model: a small function of this example (set RLM_MCP_SUB_MODEL for a real one)")
        with LocalOpenAIServer(lambda messages: answer(str(messages[-1]["content"]))) as server:
            yield {
                "RLM_MCP_SUB_MODEL": "openai/example",
                "OPENAI_BASE_URL": server.base_url,
                "OPENAI_API_KEY": "none",
            }


def run(main: Callable[[Path], Coroutine[Any, Any, None]]) -> None:
    """Run an example in a temporary folder; a failure is one line and not the SDK's groups."""
    with tempfile.TemporaryDirectory(prefix="rlm-mcp-example-") as folder:
        try:
            asyncio.run(main(Path(folder).resolve()))
        except* (ToolFailedError, AssertionError) as group:
            error: BaseException = group
            while isinstance(error, BaseExceptionGroup):
                error = error.exceptions[0]
            raise SystemExit(f"\n{type(error).__name__}: {str(error)[:1000]}") from error


def _short(arguments: dict[str, Any]) -> str:
    """Arguments in a line, code of several lines below it."""
    parts = []
    for name, value in arguments.items():
        text = json.dumps(value, ensure_ascii=False)
        text = text if len(text) <= 90 else text[:87] + "..."
        if name == "code" and "\n" in value:
            text = "\n" + "\n".join(f"   > {line}" for line in value.strip().splitlines()) + "\n"
        parts.append(f"{name}={text}")
    return ", ".join(parts)


async def _show_progress(progress: float, total: float | None, message: str | None) -> None:
    """Show how far the sandbox is, which the first start on a machine makes, in a minute or two."""
    if message and "%" in message and "sub-LLM" not in message:
        print(f"   ... {message}", flush=True)
