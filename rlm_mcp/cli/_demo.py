"""`rlm-mcp demo`: the main job on real input, through a real server and a real client."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ._options import cache_option, sub_model_option

if TYPE_CHECKING:
    from rich.console import Console

    from ._demo_run import Outcome


@click.command("demo")
@click.option("--keep", is_flag=True, help="Keep the report and the space that was made.")
@click.option("--local", is_flag=True, help="Use the built-in stand-in, even if a model is set.")
@cache_option
@sub_model_option
def command(keep: bool, local: bool, cache: str | None, sub_model: str | None) -> None:
    """Watch a session on real input, step by step."""
    import os
    import shutil
    import tempfile
    from pathlib import Path

    from rich.console import Console

    from ..lm import AGENT, choose
    from ..sandbox import Cache
    from ..settings import load_settings
    from ._demo_run import run_demo
    from ._prepare import prepare_shown

    console = Console(highlight=False, soft_wrap=True)
    settings = load_settings({"cache": cache, "sub_model": sub_model})
    name = choose(settings.sub_model, os.environ)
    model = None if local or name == AGENT or name.startswith("cli/") else name
    _introduce(console, model, passed_over=name if name.startswith("cli/") else "")
    prepare_shown(Cache(settings.cache), console)
    folder = Path(tempfile.mkdtemp(prefix="rlm-mcp-demo-"))
    try:
        outcome = run_demo(console, settings.cache, folder, model)
        _conclude(console, outcome)
        console.print(
            "\nNot shown: search, symbols, citations, documents and tables, files larger than "
            "memory, sub_rlm."
        )
        if keep:
            console.print(f"\nKept: {outcome.report}", markup=False)
            console.print(f"      the space: rlm-mcp spaces --home {folder / 'home'}", markup=False)
        else:
            console.print("\nThe report and the space are removed; --keep keeps them.")
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)


def _introduce(console: Console, model: str | None, passed_over: str) -> None:
    console.print(
        "A coding agent reads files into its context, and its context is small and expensive.\n"
        "With rlm-mcp it puts them into variables of a sandboxed Python instead, and works on\n"
        "them with code. Here is such a session. The agent is a script; the server, the sandbox\n"
        "and every reply are real.\n"
    )
    if model is None and passed_over:
        console.print(
            f"Sub-model: not {passed_over}, which takes seconds for each of the 18 calls. A small "
            "scripted server on\nthis machine stands in for it: its answers are made from the text "
            "that it is sent.\n",
            markup=False,
        )
    elif model is None:
        console.print(
            "Sub-model: no real one. A small scripted server on this machine stands in for it:\n"
            "its answers are made from the text that it is sent. (Set RLM_MCP_SUB_MODEL or a\n"
            "provider's key to see a real one. With neither, an agent is its own sub-model: it is\n"
            "shown the questions, answers them, and its code goes on.)\n"
        )
    else:
        console.print(
            f"Sub-model: {model}, as you have configured it; about 18 short calls. (--local uses "
            "a stand-in.)\n",
            markup=False,
        )


def _conclude(console: Console, outcome: Outcome) -> None:
    from ._demo_run import line_width

    console.rule("[bold]What it came to", align="left")
    read = outcome.sent + outcome.received + outcome.described
    rows = [
        ("entered the agent's context", read),
        ("  what it wrote: tools' arguments", outcome.sent),
        ("  what it read: tools' replies", outcome.received),
        ("  descriptions of the tools, once", outcome.described),
        ("lay in variables", outcome.held),
    ]
    for label, count in rows:
        console.print(f"{label:36}{count:>14,} characters")
    ratio = outcome.held / read
    console.print(f"\nratio 1 : {ratio:,.0f}", style="bold")
    console.print(
        f"For each character in the agent's context, {ratio:,.0f} lay in variables: at 4 "
        f"characters a\ntoken, about {read / 4:,.0f} tokens instead of {outcome.held / 4:,.0f}, "
        "which no context holds."
    )
    head = outcome.report.read_text(encoding="utf-8").splitlines()
    console.print(f"\nThe report, {len(head)} lines, begins:")
    width = line_width(console)
    for line in head[:12]:
        shown = line if len(line) <= width else f"{line[: width - 3]}..."
        console.print(f"  {shown}", markup=False)
