"""`rlm-mcp install CLIENT`: write the configuration of a client."""

from __future__ import annotations

import click

_NAMES = ("claude", "codex", "cursor", "vscode")
_THEN = {
    "claude": "Start Claude Code anew; /mcp shows the server.",
    "codex": "Start Codex anew; /mcp shows the server.",
    "cursor": "Cursor's settings under MCP show the server.",
    "vscode": "Open the project; the command `MCP: List Servers` shows the server.",
}


@click.command("install")
@click.argument("client", type=click.Choice(_NAMES))
@click.option("--project", is_flag=True, help="For the project in the working folder alone.")
@click.option("--dry-run", is_flag=True, help="Show what would be written, and write nothing.")
def command(client: str, project: bool, dry_run: bool) -> None:
    """Make CLIENT start this server: claude, codex, cursor or vscode."""
    from pathlib import Path

    from ..clients import CLIENTS, Place, serve_command

    folder = Path.cwd()
    place = Place(Path.home(), folder if project else None, folder, serve_command())
    plan = CLIENTS[client](place)
    if not plan.changes:
        click.echo(f"{client} has this server already; nothing to do.")
    elif dry_run:
        click.echo(plan.describe())
    else:
        click.echo(plan.apply())
        click.echo(_THEN[client])
