"""Preparing the sandbox in front of a person: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from ..errors import SandboxError

if TYPE_CHECKING:
    from rich.console import Console

    from ..sandbox import Cache

_STEP = 0.1


def prepare_shown(cache: Cache, console: Console, *, force: bool = False) -> bool:
    """Make what the cache lacks, showing how far it is.

    Args:
        cache: of the compiled guest and the base image.
        console: shows the progress.
        force: make all of it again.

    Returns:
        Whether anything had to be made.

    Raises:
        SandboxError: it cannot be made.
    """
    from ..sandbox._prepare import run_preparation

    cache.claim()
    if not force:
        cache.remove_damaged()
        # That looks at the times of files; a person who runs this may wait for a digest.
        if image_damage(cache):
            cache.image.unlink(missing_ok=True)
        if cache.is_ready():
            return False
    if force or not cache.has_compiled():
        console.print(
            "Compiling the sandbox for this machine, once; it takes one to three minutes.",
            highlight=False,
        )
    with _bar(console) if console.is_terminal else _lines(console) as progress:
        asyncio.run(run_preparation(cache, progress, *(["--force"] if force else [])))
    if not cache.is_ready():
        raise SandboxError("the sandbox is still not complete; run `rlm-mcp doctor`")
    return True


def image_damage(cache: Cache) -> str:
    """What is wrong with the base image, or an empty text."""
    from sandbox_wasm._artefact import digest_of

    image = cache.base_image()
    if image is None:
        return "missing"
    try:
        found = digest_of(image.path)
    except OSError as error:
        return f"unreadable ({error.strerror})"
    return "" if found == image.digest else "damaged: its digest is not the recorded one"


@contextlib.contextmanager
def _bar(console: Console) -> Iterator[Callable[[float, str], None]]:
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
        task = progress.add_task("starting", total=1.0)

        def tell(part: float, text: str) -> None:
            progress.update(task, completed=part, description=text)

        yield tell


@contextlib.contextmanager
def _lines(console: Console) -> Iterator[Callable[[float, str], None]]:
    said = -1

    def tell(part: float, text: str) -> None:
        nonlocal said
        step = int(part / _STEP + 1e-9)
        if step > said:
            said = step
            console.print(f"{step * 10:3} %  {text}", highlight=False, markup=False)

    yield tell
