"""Opening a commit: its layout, and its files once it is seen that they are what they were."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from ..errors import StoreError
from ..worker._layout import Layout, Run
from ..worker._memory import PAGE
from ._commits import Commit, ancestors, layout_at
from ._database import Database
from ._files import identity, section_is_sound


@dataclass(frozen=True)
class Opened:
    """A commit made ready to be mapped.

    Args:
        commit: what will be mapped; older than what was asked for if that was damaged.
        layout: its runs; files are numbered as in `descriptors`.
        descriptors: of the files, for reading; the caller closes them.
        files: the ids of the files in the same order.
        damage: what was found damaged, in words; empty if nothing was.
    """

    commit: Commit
    layout: Layout
    descriptors: list[int]
    files: list[int]
    damage: str = ""


def open_commit(
    database: Database, folder: Path, number: int, is_active: Callable[[int], bool]
) -> Opened:
    """Make a commit ready to be mapped; a damaged one gives way to the newest sound one.

    Args:
        database: of the store.
        folder: that has the files.
        number: of the commit.
        is_active: whether a file, by its id, is being written to.

    Raises:
        StoreError: no commit of this line is sound.
    """
    pages = _Pages(database, folder, is_active)
    damage = ""
    for commit in ancestors(database, number):
        try:
            layout, descriptors, files = pages.open_layout(commit.id)
        except StoreError as error:
            damage = damage or str(error)
            continue
        local = {file: index for index, file in enumerate(files)}
        renumbered = Layout(Run(run.page, run.count, local[run.file], run.origin) for run in layout)
        return Opened(commit, renumbered, descriptors, files, damage)
    raise StoreError(
        f"no commit of this space can be read ({damage or 'it has none'}); "
        'delete it with spaces(action="delete", space=...) or restore RLM_MCP_HOME from a backup'
    )


class _Pages:
    """The files of the store, opened for reading."""

    def __init__(self, database: Database, folder: Path, is_active: Callable[[int], bool]) -> None:
        self._database = database
        self._folder = folder
        self._is_active = is_active

    def open_layout(self, number: int) -> tuple[Layout, list[int], list[int]]:
        """The layout of a commit, descriptors of its files, and their ids."""
        try:
            layout = layout_at(self._database, number)
            return layout, *self._open_files(layout)
        except StoreError:
            # Another server may have moved its pages to another file just now.
            layout = layout_at(self._database, number)
            return layout, *self._open_files(layout)

    def _open_files(self, layout: Layout) -> tuple[list[int], list[int]]:
        needed: dict[int, int] = {}
        for run in layout:
            needed[run.file] = max(needed.get(run.file, 0), run.origin + run.count)
        descriptors: list[int] = []
        try:
            for file in sorted(needed):
                descriptors.append(self._open_file(file, needed[file], layout))
        except BaseException:
            for descriptor in descriptors:
                os.close(descriptor)
            raise
        return descriptors, sorted(needed)

    def _open_file(self, file: int, pages: int, layout: Layout) -> int:
        row = self._database.row("SELECT * FROM files WHERE id = ?", file)
        if row is None:
            raise StoreError(f"file {file} of the store is unknown")
        path = self._folder / row["name"]
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            raise StoreError(f"{row['name']} is missing from the store") from error
        try:
            if os.fstat(descriptor).st_size < pages * PAGE:
                raise StoreError(f"{row['name']} is shorter than it was")
            known = identity(descriptor)
            if known != row["identity"] and not self._is_active(file):
                self._check_sections(file, row["name"], descriptor, layout)
                self._database.change("UPDATE files SET identity = ? WHERE id = ?", known, file)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _check_sections(self, file: int, name: str, descriptor: int, layout: Layout) -> None:
        """Read what a layout needs of a file that was touched since the store last wrote it."""
        used = Layout(_by_place_in_file(run for run in layout if run.file == file))
        for row in self._database.rows("SELECT * FROM sections WHERE file = ?", file):
            origin, pages = row["origin"], row["pages"]
            if not any(run for _, _, run in used.covering(origin, pages)):
                continue
            if not section_is_sound(descriptor, origin, pages, row["digest"]):
                raise StoreError(f"{name} is damaged at byte {origin * PAGE:,}")


def _by_place_in_file(runs: Iterable[Run]) -> list[Run]:
    """Runs turned around: the pages of the file as the places, for asking which are used."""
    found = [Run(run.origin, run.count, run.file, run.page) for run in runs]
    return sorted(found, key=lambda run: run.page)
