"""`rlm-mcp doctor`: each part checked, with the mend."""

from __future__ import annotations

import sys
from typing import Any

import click

from ..quantities import counted
from ._options import settings_options

_MARKS = {"ok": ("ok", "green"), "note": ("note", "yellow"), "problem": ("PROBLEM", "red")}


@click.command("doctor")
@settings_options
def command(**flags: Any) -> None:
    """Check each part and say how to mend what is wrong."""
    from ._checks import all_checks

    problems = 0
    for found in all_checks(flags):
        mark, colour = _MARKS[found.state]
        problems += found.state == "problem"
        click.echo(f"{click.style(f'{mark:8}', fg=colour)}{found.part:15} {found.text}")
        if found.mend:
            click.echo(f"{'':8}{'':15} -> {found.mend}")
    if problems:
        click.echo(f"\n{counted(problems, 'problem')} found.")
        sys.exit(1)
    click.echo("\nAll is well.")
