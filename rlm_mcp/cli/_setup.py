"""`rlm-mcp setup`: prepare the sandbox now and not at the first call."""

from __future__ import annotations

from typing import Any

import click

from ..quantities import size_text
from ._options import cache_option, home_option


@click.command("setup")
@click.option("--force", is_flag=True, help="Make everything again, also what is there.")
@cache_option
@home_option
def command(force: bool, **flags: Any) -> None:
    """Prepare the sandbox: compile it and build its base image, once."""
    import time

    from rich.console import Console

    from ..sandbox import Cache
    from ..settings import load_settings
    from ._prepare import prepare_shown

    settings = load_settings(flags)
    cache = Cache(settings.cache)
    begin = time.monotonic()
    made = prepare_shown(cache, Console(highlight=False, soft_wrap=True), force=force)
    took = f", made in {time.monotonic() - begin:.0f} s" if made else ""
    click.echo(f"The sandbox is ready{took}.")
    click.echo(f"  compiled  {cache.compiled}  ({size_text(cache.compiled.stat().st_size)})")
    click.echo(f"  image     {cache.image}  ({size_text(cache.image.stat().st_blocks * 512)})")
    click.echo(f"  spaces    {settings.home}")
    if not made:
        click.echo("Nothing had to be done; --force makes it again.")
