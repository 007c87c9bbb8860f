"""`rlm-mcp view`: look at what happened, in a browser or as a file to hand on."""

from __future__ import annotations

from pathlib import Path

import click

from ._options import home_option


@click.command("view")
@click.argument("space", required=False)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, help="To listen on; else any that is free."
)
@click.option("--open/--no-open", "show", default=True, help="Whether to open a browser.")
@click.option(
    "--html",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write what happened in SPACE to this file instead, which needs nothing else.",
)
@click.option(
    "--limit", type=click.IntRange(1), default=200, show_default=True,
    help="How many calls the file has, the newest.",
)  # fmt: skip
@click.option(
    "--texts/--no-texts",
    default=None,
    help="With code, prompts, answers and output, or only how long they were; left out, as "
    "RLM_MCP_RECORD says.",
)
@home_option
def command(
    space: str | None,
    port: int,
    show: bool,
    html: Path | None,
    limit: int,
    texts: bool | None,
    home: str | None,
) -> None:
    """Look at what happened in spaces, in a browser.

    Begins with SPACE, else with the list of all. Nothing is changed, and servers go on.
    """
    import asyncio

    from ..settings import load_settings
    from ..view import check_space, serve_view, write_file

    settings = load_settings({"home": home})
    if texts is None:
        texts = settings.record == "full"
    if html is not None and space is None:
        raise click.UsageError("--html wants the SPACE whose calls the file is to have")
    if space is not None:
        check_space(settings.home, space)
        if html is not None:
            click.echo(write_file(settings.home, space, html, limit=limit, texts=texts))
            return
    serving = serve_view(
        settings.home, space=space, port=port, show=show, texts=texts, say=click.echo
    )
    asyncio.run(serving)
