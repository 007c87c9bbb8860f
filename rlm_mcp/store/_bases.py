"""What spaces begin from: base images as first commits, and the artefacts that they run with."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from ..worker._interrupt import StopPoint
from ..worker._layout import Layout, Run
from ..worker._memory import PAGE
from ._commits import stop_text
from ._database import Database
from ._files import explained, identity, link_or_copy, take_image


def base_commit(
    database: Database,
    folder: Path,
    image: Path,
    digest: str,
    size: int,
    stop: StopPoint | None,
    guest: str,
    known: str,
    *,
    sync: bool,
) -> int:
    """The commit that is a base image as it is; the image becomes part of the store.

    Args:
        database: of the store.
        folder: that has the page data.
        image: the base image.
        digest: its SHA-256.
        size: its bytes.
        stop: where code is stopped in it.
        guest: version of the project's code in it.
        known: identity of the image when it last had the digest, or empty.
        sync: whether the image must survive the loss of power at once, as what spaces commit.

    Raises:
        StoreError: the disk is full, or the image is damaged.
    """
    name = f"{digest[:32]}.image"
    row = database.row(
        "SELECT c.id FROM commits c JOIN files f ON f.id = c.file "
        "WHERE c.parent IS NULL AND f.name = ? AND c.guest = ? AND c.label = 'new'",
        name, guest,
    )  # fmt: skip
    target = folder / name
    if row is not None and target.exists() and target.stat().st_size == size:
        return int(row["id"])
    take_image(image, target, digest, known, sync=sync)
    descriptor = os.open(target, os.O_RDONLY)
    try:
        written = identity(descriptor)
    finally:
        os.close(descriptor)
    with database.transaction():
        database.change(
            "INSERT INTO files (name, identity) VALUES (?, ?) "
            "ON CONFLICT (name) DO UPDATE SET identity = excluded.identity",
            name, written,
        )  # fmt: skip
        found = database.row("SELECT id FROM files WHERE name = ?", name)
        assert found is not None
        file, pages = int(found["id"]), size // PAGE
        database.change(
            "INSERT OR REPLACE INTO sections (file, origin, pages, digest) VALUES (?, 0, ?, ?)",
            file, pages, digest,
        )  # fmt: skip
        if row is not None:
            return int(row["id"])
        return database.change(
            "INSERT INTO commits (parent, created, label, execution, size, monotonic, stop, "
            "guest, file, runs, pages, layout) "
            "VALUES (NULL, ?, 'new', 0, ?, 0, ?, ?, ?, ?, 0, ?)",
            time.time(), size, stop_text(stop), guest, file, b"",
            Layout([Run(0, pages, file, 0)]).pack(),
        )  # fmt: skip


def keep_artefact(folder: Path, files: Sequence[Path]) -> None:
    """Keep what spaces are run with; linked where that is possible, copied where it is not.

    Args:
        folder: where they belong; appears whole or not at all.
        files: the guest's module and its library.

    Raises:
        StoreError: the disk is full.
    """
    if folder.is_dir():
        return
    part = folder.with_name(f"{folder.name}.part{secrets.token_hex(8)}")
    try:
        part.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in files:
            link_or_copy(path, part / path.name)
        with contextlib.suppress(FileExistsError, OSError):
            part.rename(folder)
    except OSError as error:
        raise explained(error) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
