"""The commands, each in a line; what one does is imported when it is called."""

from __future__ import annotations

import sys
from functools import partial
from importlib import import_module
from typing import Any

import click

from .. import __version__
from ..errors import RlmError
from ._options import settings_options

_COMMANDS = ("setup", "demo", "doctor", "install", "spaces", "run", "view")
"""Each is `command` in a module of its name. `serve` is here: it must start fast."""


class _Group(click.Group):
    """Imports a command when it is asked for, and shows the project's errors as text."""

    def list_commands(self, context: click.Context) -> list[str]:
        return [*super().list_commands(context), *_COMMANDS]

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name in _COMMANDS:
            command = import_module(f"._{name}", __package__).command
            assert isinstance(command, click.Command)
            return command
        return super().get_command(context, name)

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except RlmError as error:
            click.echo(f"rlm-mcp: {error}", err=True)
            sys.exit(1)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="rlm-mcp")
def main() -> None:
    """A persistent, transactional variable space for coding agents, over MCP."""


@main.command()
@click.option("--http", metavar="HOST:PORT", help="Serve there instead, to clients with the token.")
@settings_options
def serve(http: str | None, **flags: Any) -> None:
    """Serve MCP over standard input and output, or over HTTP."""
    import asyncio

    from ..server import serve_http, serve_stdio
    from ..settings import load_settings

    settings = load_settings(flags)
    if http is None:
        asyncio.run(serve_stdio(settings))
    else:
        asyncio.run(serve_http(settings, http, partial(click.echo, err=True)))
