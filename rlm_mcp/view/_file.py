"""What happened in a space as one file, to hand on."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from markupsafe import Markup

from .. import __version__
from ..errors import SourceError, SpaceError
from ..quantities import counted, size_text
from ._home import Home
from ._pages import Pages, templates
from ._site import static
from ._tree import FILE
from ._words import moment

_BUFFERED = 200
"""Pieces of the page that are written at once."""


def write_file(folder: Path, space: str, path: Path, *, limit: int, texts: bool) -> str:
    """Write what happened in a space as a page that needs nothing else.

    Args:
        folder: the home folder.
        space: handle of the space.
        path: of the file, which does not exist yet.
        limit: how many calls, the newest.
        texts: whether with texts, or only with how long they were.

    Returns:
        What was written, in words.

    Raises:
        SpaceError: there is no such space.
        SourceError: the file cannot be written.
        StoreError: the store cannot be read.
    """
    bounds = replace(FILE, calls=limit)
    style = static("view.css")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    with contextlib.closing(Home(folder)) as home:
        reader = home.reader()
        if reader is None:
            raise SpaceError(f"there are no spaces in {folder}")
        given = Pages(reader, texts=texts).file(space, bounds)
        page = (
            templates()
            .get_template("file.html")
            .stream(
                **given,
                base=None,
                stamp=None,
                style=Markup(style),  # the project's own
                policy=f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; "
                "form-action 'none'",
                version=__version__,
                written=moment(time.time()),
                texts=texts,
            )
        )
        page.enable_buffering(_BUFFERED)
        size = _write(path, page)
    calls = counted(given["total"], "call")
    shown = f"the last {given['shown']:,} of {calls}" if given["shown"] < given["total"] else calls
    return f"{shown} of space {space} in {path} ({size_text(size)})"


def _write(path: Path, pieces: Iterable[str]) -> int:
    """Write a new file; returns its bytes. It is there whole, or not at all."""
    try:
        # It holds what the store holds, so nobody else may read it either.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise SourceError(f"{path} exists already; name another file") from None
    except OSError as error:
        raise SourceError(f"{path} cannot be written ({error.strerror})") from error
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            file.writelines(pieces)
            file.flush()
            return os.fstat(descriptor).st_size
    except BaseException as error:
        path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise SourceError(f"{path} cannot be written ({error.strerror})") from error
        raise
