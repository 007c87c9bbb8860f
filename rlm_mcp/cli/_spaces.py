"""`rlm-mcp spaces`: look at the store without a server."""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from ..quantities import ago_text, counted, size_text
from ._options import home_option

if TYPE_CHECKING:
    from ..settings import Settings
    from ..store import SpaceRow, Store


def _over_spaces(function: Callable[..., None]) -> Callable[..., None]:
    """Make a function of settings a command, which takes --home too: after its own name is where
    people write it."""

    @home_option
    @click.pass_context
    @functools.wraps(function)
    def run(context: click.Context, /, home: str | None, **arguments: Any) -> None:
        from ..settings import load_settings

        settings = context.obj if home is None else load_settings({"home": home})
        function(settings, **arguments)

    return run


@click.group("spaces", invoke_without_command=True)
@home_option
@click.pass_context
def command(context: click.Context, /, **flags: Any) -> None:
    """List spaces, show what happened in one, delete one."""
    from ..settings import load_settings

    context.obj = load_settings(flags)
    if context.invoked_subcommand is None:
        context.invoke(list_spaces)


@command.command("list")
@_over_spaces
def list_spaces(settings: Settings) -> None:
    """All spaces, the last used first."""
    store = _store(settings)
    rows = store.spaces() if store else []
    if store is None or not rows:
        click.echo(f"No spaces yet in {settings.home}.")
        return
    table: list[tuple[str, ...]] = [("SPACE", "EXECUTIONS", "MEMORY", "USED", "MADE FROM")]
    for row in rows:
        origin = f"fork of {row.origin}" if row.origin else "new"
        memory = size_text(row.head.size)
        table.append((row.handle, str(row.head.execution), memory, ago_text(row.used), origin))
    _print_table(table)
    disk, _ = store.usage()
    count = counted(len(rows), "space")
    click.echo(f"{count}, {size_text(disk)} on disk in {settings.home}")
    store.close()


@command.command()
@click.argument("name")
@_over_spaces
def info(settings: Settings, name: str) -> None:
    """The history of the space NAME, newest first."""
    store, row = _required(settings, name)
    head = row.head
    click.echo(f"space      {row.handle}" + (f"  (fork of {row.origin})" if row.origin else ""))
    click.echo(f"made       {_moment(row.created)}")
    click.echo(f"used       {_moment(row.used)} ({ago_text(row.used)})")
    click.echo(f"memory     {size_text(head.size)}, {counted(head.execution, 'execution')}")
    for label, number in store.checkpoints(name).items():
        click.echo(f"checkpoint {label} = commit {number}")
    click.echo()
    table: list[tuple[str, ...]] = [("COMMIT", "WHEN", "NEW", "EXECUTION", "WHAT MADE IT")]
    for commit in store.history(name):
        label = " ".join(commit.label.split())[:70]
        label = "".join(c if c.isprintable() else "?" for c in label)
        execution, size = str(commit.execution), size_text(commit.pages * 4096)
        table.append((str(commit.id), _moment(commit.created), size, execution, label))
    _print_table(table)
    store.close()


@command.command()
@click.argument("name")
@click.option("--limit", default=20, show_default=True, help="How many calls, the newest.")
@click.option("--full", is_flag=True, help="All texts, and each sub-LLM call.")
@_over_spaces
def show(settings: Settings, name: str, limit: int, full: bool) -> None:
    """What happened in the space NAME, as a tree."""
    from ._trajectory import print_trees

    store, _ = _required(settings, name)
    print_trees(store, name, max(1, limit), full=full)
    store.close()


@command.command()
@click.argument("name")
@click.option("--out", type=click.Path(dir_okay=False), help="A file to write; not one that is.")
@_over_spaces
def export(settings: Settings, name: str, out: str | None) -> None:
    """What happened in the space NAME, as JSON Lines."""
    from ._trajectory import write_lines

    store, _ = _required(settings, name)
    write_lines(store, name, out)
    store.close()


@command.command()
@click.argument("name")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@_over_spaces
def delete(settings: Settings, name: str, yes: bool) -> None:
    """Delete the space NAME for good, with its history."""
    store, row = _required(settings, name)
    if not yes and sys.stdin.isatty():
        used = ago_text(row.used)
        click.confirm(
            f"Delete space {name} ({counted(row.head.execution, 'execution')}, used {used})?",
            abort=True,
        )
    store.delete(name)
    limits = settings.limits
    tidied = store.tidy(entries=limits.history, size=limits.history_mb << 20)
    click.echo(f"Deleted space {name}; {size_text(tidied.bytes)} freed.")
    store.close()


def _store(settings: Settings) -> Store | None:
    """The store, or `None` where none was begun: looking must not make one."""
    from ..store import Store

    return Store(settings.home) if (settings.home / "store.sqlite").is_file() else None


def _required(settings: Settings, name: str) -> tuple[Store, SpaceRow]:
    from ..errors import SpaceError

    store = _store(settings)
    row = store.space(name) if store else None
    if store is None or row is None:
        known = ", ".join(found.handle for found in store.spaces()[:10]) if store else ""
        raise SpaceError(f"there is no space `{name}` in {settings.home}; known: {known or 'none'}")
    return store, row


def _print_table(rows: list[tuple[str, ...]]) -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
