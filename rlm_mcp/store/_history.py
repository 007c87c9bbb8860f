"""Keeping the store within its budget: old commits, sparse segments, unused files."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

from ..errors import StoreError
from ..worker._layout import Layout, Run, unpack
from ..worker._memory import PAGE
from . import _faults
from ._commits import ancestors, layout_at
from ._database import Database
from ._files import explained, identity

SPARSE = 0.5
"""A segment of which less than this part is used is written anew (a guess: halves the disk at
the price of writing each byte about once more)."""

ABANDONED_SECONDS = 3600


@dataclass(frozen=True)
class Tidied:
    """What `tidy` removed.

    Args:
        commits: how many.
        files: how many.
        bytes: of those files.
    """

    commits: int
    files: int
    bytes: int


def tidy(database: Database, folder: Path, active: set[int], *, entries: int, size: int) -> Tidied:
    """Forget commits beyond the budget, pack sparse segments, and remove unused files."""
    with (folder / ".tidy").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return Tidied(0, 0, 0)  # another server is at it
        with database.transaction():
            forgotten = _forget(database, entries, size)
        _pack(database, folder, active)
        files, freed = _sweep(database, folder, active)
        return Tidied(forgotten, files, freed)


def _forget(database: Database, entries: int, size: int) -> int:
    kept: set[int] = set()
    heads = [row["head"] for row in database.rows("SELECT head FROM spaces")]
    named = [row["head"] for row in database.rows("SELECT head FROM checkpoints")]
    for head in heads:
        total = 0
        for index, commit in enumerate(ancestors(database, head)):
            total += commit.pages * PAGE
            if index and (index >= entries or total > size):
                break
            kept.add(commit.id)
    kept.update(named)
    # The newest base image stays: new spaces begin with it.
    newest = database.row("SELECT MAX(id) AS id FROM commits WHERE label = 'new'")
    if newest is not None:
        kept.add(newest["id"])
    rows = database.rows("SELECT id, parent FROM commits")
    doomed = [row["id"] for row in rows if row["id"] not in kept]
    if not doomed:
        return 0
    gone = set(doomed)
    orphans = [row for row in rows if row["id"] not in gone and row["parent"] in gone]
    for row in orphans:
        layout = layout_at(database, row["id"]).pack()
        database.change(
            "UPDATE commits SET layout = ?, parent = NULL WHERE id = ?", layout, row["id"]
        )
    # Others of the doomed may be parents of each other; rows go children first.
    for number in sorted(doomed, reverse=True):
        database.change("DELETE FROM commits WHERE id = ?", number)
    return len(doomed)


def _pack(database: Database, folder: Path, active: set[int]) -> None:
    """Write the used pages of sparse segments to a new one, and point the layouts to it."""
    held = {row["file"] for row in database.rows("SELECT DISTINCT file FROM commits")}
    keyframes = {
        row["id"]: Layout(unpack(row["layout"]))
        for row in database.rows("SELECT id, layout FROM commits WHERE layout IS NOT NULL")
    }
    used: dict[int, set[tuple[int, int]]] = {}
    for layout in keyframes.values():
        for run in layout:
            if run.file not in held and run.file not in active:
                used.setdefault(run.file, set()).add((run.origin, run.count))
    sparse = {}
    for file, ranges in used.items():
        row = database.row("SELECT name FROM files WHERE id = ?", file)
        if row is None or row["name"].endswith(".image"):
            continue
        merged = _merge(ranges)
        path = folder / row["name"]
        with contextlib.suppress(OSError):
            used_bytes = sum(count for _, count in merged) * PAGE
            if used_bytes < SPARSE * path.stat().st_size and _is_free(path):
                sparse[file] = (path, merged)
    if not sparse:
        return
    name = f"{uuid.uuid4().hex}.pages"
    target = folder / name
    try:
        moved, sections, known = _copy(sparse, target)
        _faults.point("pack:pages")
        with database.transaction():
            pack = database.change("INSERT INTO files (name, identity) VALUES (?, ?)", name, known)
            for origin, pages, digest in sections:
                database.change(
                    "INSERT INTO sections (file, origin, pages, digest) VALUES (?, ?, ?, ?)",
                    pack, origin, pages, digest,
                )  # fmt: skip
            for number, layout in keyframes.items():
                if layout.files() & sparse.keys():
                    database.change(
                        "UPDATE commits SET layout = ? WHERE id = ?",
                        _moved(layout, moved, pack).pack(), number,
                    )  # fmt: skip
            _faults.point("pack:row")
    except OSError as error:
        target.unlink(missing_ok=True)
        raise explained(error) from error
    except StoreError:
        target.unlink(missing_ok=True)
        raise


def _merge(ranges: set[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for origin, count in sorted(ranges):
        if merged and origin <= sum(merged[-1]):
            start, length = merged[-1]
            merged[-1] = (start, max(length, origin + count - start))
        else:
            merged.append((origin, count))
    return merged


_Moved = dict[int, Layout]


def _copy(
    sparse: dict[int, tuple[Path, list[tuple[int, int]]]], target: Path
) -> tuple[_Moved, list[tuple[int, int, str]], str]:
    """Copy the used ranges; says for each file where each of its pages went."""
    moved: _Moved = {}
    sections: list[tuple[int, int, str]] = []
    at = 0
    with target.open("xb") as write:
        target.chmod(0o600)
        for file, (path, ranges) in sparse.items():
            begin, digest = at, hashlib.sha256()
            places = Layout()
            with path.open("rb") as read:
                for origin, count in ranges:
                    read.seek(origin * PAGE)
                    left = count * PAGE
                    while left:
                        data = read.read(min(left, 4 << 20))
                        if not data:
                            raise StoreError(f"{path.name} is shorter than it was")
                        digest.update(data)
                        write.write(data)
                        left -= len(data)
                    places.overlay(Run(origin, count, 0, at))
                    at += count
            moved[file] = places
            sections.append((begin, at - begin, digest.hexdigest()))
        write.flush()
        os.fsync(write.fileno())
        known = identity(write.fileno())
    return moved, sections, known


def _moved(layout: Layout, moved: _Moved, pack: int) -> Layout:
    result = Layout()
    for run in layout:
        if run.file not in moved:
            result.overlay(run)
            continue
        page = run.page
        for origin, count, place in moved[run.file].covering(run.origin, run.count):
            assert place is not None
            result.overlay(Run(page, count, pack, place.origin + origin - place.page))
            page += count
    return result


def _sweep(database: Database, folder: Path, active: set[int]) -> tuple[int, int]:
    """Remove files that no commit needs, and files that the database does not know."""
    unused: list[Path] = []
    with database.transaction():
        needed = {row["file"] for row in database.rows("SELECT DISTINCT file FROM commits")}
        needed |= active
        for row in database.rows("SELECT layout FROM commits WHERE layout IS NOT NULL"):
            needed |= Layout(unpack(row["layout"])).files()
        known = {".tidy"}
        for row in database.rows("SELECT id, name FROM files"):
            path = folder / row["name"]
            if row["id"] in needed or not _is_free(path):
                known.add(row["name"])
                continue
            database.change("DELETE FROM files WHERE id = ?", row["id"])
            unused.append(path)
        # Left by a process that died between making a file and naming it in the database.
        unused += [
            path for path in folder.iterdir() if path.name not in known and _is_abandoned(path)
        ]
    _faults.point("sweep:rows")
    count, freed = 0, 0
    for path in dict.fromkeys(unused):
        with contextlib.suppress(OSError):
            size = path.stat().st_blocks * 512
            path.unlink()
            count, freed = count + 1, freed + size
    return count, freed


def _is_free(path: Path) -> bool:
    """Whether no server is about to append to a file."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    else:
        return True
    finally:
        os.close(descriptor)


def _is_abandoned(path: Path) -> bool:
    """Whether a file that the database does not know is old enough to be nobody's."""
    with contextlib.suppress(OSError):
        # Not the time of the last change of its bytes, which a link to an older file brings along.
        return time.time() - path.stat().st_ctime > ABANDONED_SECONDS and _is_free(path)
    return False
