"""`rlm-mcp view` as a process, asked over HTTP, and a store in which much has happened."""

from __future__ import annotations

import contextlib
import html
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

import httpx2
import pytest

from rlm_mcp.settings import Settings

from ..conftest import Connect
from ..recursion._roots import RootModel, code

EVIL = (
    "</pre></script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&{{ 7 * 7 }}"
    " \u202eesrever\u202c \x1b[2J \x00 \u200b"
)
"""What a guest, a model or a file may say to whoever looks."""


@dataclass
class Viewing:
    """A running `rlm-mcp view`."""

    process: subprocess.Popen[str]
    url: str
    line: str

    def get(self, path: str = "", status: int = 200, **headers: str) -> str:
        """A page; its address is relative to the first one, or as a link has it."""
        found = self.ask(path, **headers)
        assert found.status_code == status, found.text
        return found.text

    def ask(self, path: str = "", **headers: str) -> httpx2.Response:
        """The answer to a request."""
        url = httpx2.URL(self.url).join(html.unescape(path))
        return httpx2.get(url, headers=headers, timeout=30)

    def end(self) -> int:
        """Tell it to end; its exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(30)


View = Callable[..., AbstractContextManager[Viewing]]


@pytest.fixture
def view(settings: Settings) -> View:
    """Starts `rlm-mcp view` on the test's home, with further arguments and variables."""

    @contextlib.contextmanager
    def view(*arguments: str, **variables: str) -> Iterator[Viewing]:
        hidden = ("RLM_MCP_RECORD", "BROWSER", "DISPLAY", "WAYLAND_DISPLAY")
        environ = {name: value for name, value in os.environ.items() if name not in hidden}
        process = subprocess.Popen(
            [
                sys.executable, "-c", "from rlm_mcp.cli import main; main()", "view",
                "--home", str(settings.home), *arguments,
            ],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**environ, "RLM_MCP_CONFIG": os.devnull, **variables},
        )  # fmt: skip
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            found = re.match(r"rlm-mcp: (\S+) shows", line)
            yield Viewing(process, found[1] if found else "", line)
        finally:
            process.kill()
            process.communicate()

    return view


@pytest.fixture
async def history(connect: Connect) -> None:
    """What an agent did in `main`: code, calls, a run with a run in it, a fork, an undo."""
    nested = code("found = sub_llm('look')", "SUBMIT([found, sub_rlm('what is below?')])")
    async with connect(RootModel(nested, code("SUBMIT('deep')"))) as agent:
        await agent.run("kept = [1, 2, 3]\nprint('printed')\nlen(kept)")
        await agent.fails("exec_code", code="1 / 0")
        await agent.run(f"evil = {EVIL!r}\nprint(evil)\nsub_llm(evil)")
        await agent.run("answers = sub_llm_map([f'question {i}' for i in range(70)])")
        await agent.run("again = sub_llm('question 3')")
        await agent.run("found = sub_rlm('what is above?')")
        await agent.call("spaces", action="fork", name="trial")
        await agent.run("in_the_fork = 1", space="trial")
        await agent.run("del kept")
        await agent.call("spaces", action="undo")
        await agent.run("print('x' * 5_000)")


def links(page: str, to: str) -> list[str]:
    """The addresses in a page that contain something, in their order."""
    return [found for found in re.findall(r'href="([^"]*)"', page) if to in found]


def text_of(page: str) -> str:
    """What a reader sees of a page, without its markup."""
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]*>", "", page)))
