"""The commands, each in a line; what one does is imported when it is called."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

from .. import __version__
from ..errors import RlmError

_Command = TypeVar("_Command", bound=Callable[..., Any])


class _Group(click.Group):
    """Shows the project's own errors as text, without a traceback."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except RlmError as error:
            click.echo(f"rlm-mcp: {error}", err=True)
            sys.exit(1)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """A persistent, transactional variable space for coding agents, over MCP."""


def _settings_options(command: _Command) -> _Command:
    for option in (
        click.option("--home", help="Folder of the spaces (RLM_MCP_HOME)."),
        click.option("--cache", help="Folder of the compiled sandbox (RLM_MCP_CACHE)."),
        click.option(
            "--allow", multiple=True, metavar="PATH",
            help="A further folder to read from and write to (RLM_MCP_ALLOW).",
        ),
        click.option("--space", help="The default space (RLM_MCP_SPACE)."),
        click.option("--sub-model", help="Model of sub-LLM calls (RLM_MCP_SUB_MODEL)."),
        click.option("--memory-mb", type=int, help="Most memory of a space (RLM_MCP_MEMORY_MB)."),
        click.option(
            "--durability", type=click.Choice(["background", "sync"]),
            help="What a reply waits for (RLM_MCP_DURABILITY).",
        ),
    ):  # fmt: skip
        command = option(command)
    return command


@main.command()
@_settings_options
def serve(**flags: Any) -> None:
    """Serve MCP over standard input and output."""
    import asyncio

    from ..server import serve_stdio
    from ..settings import load_settings

    settings = load_settings(flags)
    asyncio.run(serve_stdio(settings))
