"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

_Command = TypeVar("_Command", bound=Callable[..., Any])

home_option = click.option("--home", help="Folder of the spaces (RLM_MCP_HOME).")
cache_option = click.option("--cache", help="Folder of the compiled sandbox (RLM_MCP_CACHE).")
sub_model_option = click.option("--sub-model", help="Model of sub-LLM calls (RLM_MCP_SUB_MODEL).")


def settings_options(command: _Command) -> _Command:
    """Add a flag for each setting that a server has."""
    for option in (
        click.option(
            "--durability", type=click.Choice(["background", "sync"]),
            help="What a reply waits for (RLM_MCP_DURABILITY).",
        ),
        click.option(
            "--record", type=click.Choice(["full", "shape", "off"]),
            help="What is recorded of what happens (RLM_MCP_RECORD).",
        ),
        click.option("--memory-mb", type=int, help="Most memory of a space (RLM_MCP_MEMORY_MB)."),
        sub_model_option,
        click.option("--embed-model", help="Model of search's embeddings (RLM_MCP_EMBED_MODEL)."),
        click.option("--space", help="The default space (RLM_MCP_SPACE)."),
        click.option(
            "--allow", multiple=True, metavar="PATH",
            help="A further folder to read from and write to (RLM_MCP_ALLOW).",
        ),
        cache_option,
        home_option,
    ):  # fmt: skip
        command = option(command)
    return command
