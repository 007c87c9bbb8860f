"""The store: everything about spaces that must not be lost."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Sequence
from pathlib import Path

from ..errors import StoreError
from ..worker._interrupt import StopPoint
from . import _history
from ._answers import Answers
from ._bases import base_commit, keep_artefact
from ._commits import Commit
from ._database import Database
from ._opening import Opened, open_commit
from ._piped import Piped
from ._spaces import SpaceRow, SpaceRows
from ._spans import SpanTable
from ._views import ViewRows
from ._writing import Writer, Writers


class Store:
    """Spaces, commits and page data in a home folder. Its methods may be called by any thread.

    Args:
        home: the folder; made if it is missing.
        sync: whether a commit survives the loss of power, and not only the death of processes.

    Attributes:
        answers: of sub-models, and what spaces spent on them.

    Raises:
        StoreError: the folder cannot be used.
    """

    def __init__(self, home: Path, *, sync: bool = False) -> None:
        self.home = home
        try:
            home.mkdir(mode=0o700, parents=True, exist_ok=True)
            for name in ("pages", "locks", "piped"):
                (home / name).mkdir(mode=0o700, exist_ok=True)
            probe = home / f".probe-{secrets.token_hex(8)}"
            probe.touch(mode=0o600)
            probe.unlink()
        except OSError as error:
            raise StoreError(
                f"the home folder {home} cannot be written ({error.strerror}); set RLM_MCP_HOME "
                "to a folder that you can write to"
            ) from error
        self._path = home / "store.sqlite"
        self._pages = home / "pages"
        self._database = Database(self._path, sync=sync)
        # Known answers are looked up while a write waits for another process.
        self._reading = Database(self._path, sync=sync)
        self.answers = Answers(self._database, self._reading)
        self.views = ViewRows(self._database)
        """Which files views stand for."""
        self.piped = Piped(home)
        """Files that came through pipes."""
        self._spaces = SpaceRows(self._database)
        self._writers = Writers(self._database, home, sync=sync)
        self._sync = sync

    # Spaces ------------------------------------------------------------------------------

    def spaces(self) -> list[SpaceRow]:
        """All spaces, the last used first."""
        return self._spaces.all()

    def space(self, handle: str) -> SpaceRow | None:
        """A space by its handle."""
        return self._spaces.get(handle)

    def create(
        self,
        handle: str,
        image: Path,
        digest: str,
        size: int,
        stop: StopPoint | None,
        guest: str,
        known: str = "",
    ) -> None:
        """Make a space whose first state is a base image; the image becomes part of the store.

        Args:
            handle: of the new space.
            image: the base image.
            digest: its SHA-256.
            size: its bytes.
            stop: where code is stopped in it.
            guest: version of the project's code in it.
            known: identity of the image when it last had the digest; where that is the same, the
                image is not read to be checked.

        Raises:
            SpaceError: the handle is taken.
            StoreError: the disk is full, or the image is damaged.
        """
        self._spaces.insert(handle, self.root(image, digest, size, stop, guest, known), "")

    def delete(self, handle: str) -> None:
        """Forget a space that nobody holds; what only it needed is removed by `tidy`.

        Raises:
            SpaceError: another server holds it.
        """
        lock = self._writers.lock(handle)
        try:
            self._spaces.remove(handle)
            with contextlib.closing(self.spans()) as spans:
                spans.remove(handle)
            self.piped.remove(handle)
            (self.home / "locks" / f"{handle}.lock").unlink(missing_ok=True)
        finally:
            lock.release()

    def commit_of_space(self, handle: str, number: int) -> Commit:
        """A commit that is part of a space: one that it made, or one that led to it.

        Raises:
            SpaceError: it is not, or is no longer kept.
        """
        return self._spaces.commit(handle, number)

    def fork(self, source: str, handle: str, commit: int | None = None) -> Commit:
        """Make a space that begins where another is.

        Args:
            source: the other space; it may be in use.
            handle: of the new one.
            commit: the state to begin at, if not the last.

        Raises:
            SpaceError: the handle is taken, or the other space or commit is unknown.
        """
        head = self._spaces.required(source).head
        found = head if commit is None else self.commit_of_space(source, commit)
        self._spaces.insert(handle, found.id, source)
        self.piped.share(source, handle)
        return found

    # What spaces begin from -----------------------------------------------------------------

    def root(
        self,
        image: Path,
        digest: str,
        size: int,
        stop: StopPoint | None,
        guest: str,
        known: str = "",
    ) -> int:
        """The commit that is a base image as it is; arguments as for `create`."""
        return base_commit(
            self._database, self._pages, image, digest, size, stop, guest, known, sync=self._sync
        )

    def keep_artefact(self, module: str, files: Sequence[Path]) -> None:
        """Keep what spaces are run with, so that they can be read after an upgrade of it.

        The files are linked where that is possible and copied where it is not.

        Args:
            module: SHA-256 of the guest's module.
            files: its module and its library.

        Raises:
            StoreError: the disk is full.
        """
        keep_artefact(self.artefact(module), files)

    def artefact(self, module: str) -> Path:
        """Where the files of an artefact are kept, if they are."""
        return self.home / "artefacts" / module[:16]

    # History -----------------------------------------------------------------------------

    def history(self, handle: str) -> list[Commit]:
        """The commits that lead to a space's present state, the newest first."""
        return self._spaces.history(handle)

    def move_head(self, handle: str, commit: int) -> Commit:
        """Make another commit the present state of a space.

        Raises:
            StoreError: the commit is not kept.
        """
        found = self._spaces.move_head(handle, commit)
        self._writers.head_moved(handle, commit)
        return found

    def checkpoint(self, handle: str, name: str) -> Commit:
        """Give the present state of a space a name; the name moves if it was given before."""
        return self._spaces.checkpoint(handle, name)

    def checkpoints(self, handle: str) -> dict[str, int]:
        """The named states of a space: name to commit."""
        return self._spaces.checkpoints(handle)

    # Opening -----------------------------------------------------------------------------

    def open(self, number: int) -> Opened:
        """Make a commit ready to be mapped; a damaged one gives way to the newest sound one.

        Raises:
            StoreError: no commit of this line is sound.
        """
        return open_commit(
            self._database, self._pages, number, lambda file: file in self._writers.files()
        )

    def open_for_reading(self, file: int) -> int:
        """A descriptor of a file of the store, for reading; the caller closes it."""
        row = self._database.row("SELECT name FROM files WHERE id = ?", file)
        assert row is not None
        return os.open(self._pages / row["name"], os.O_RDONLY | os.O_CLOEXEC)

    # Committing --------------------------------------------------------------------------

    def hold(self, handle: str) -> Writer:
        """Take the right to write to a space, which the caller gives up.

        Raises:
            SpaceError: another server has it, or there is no such space.
        """
        return self._writers.hold(handle)

    def held(self, handle: str) -> bool:
        """Whether a server has the right to write to a space."""
        return self._writers.held(handle)

    # What happened -------------------------------------------------------------------------

    def spans(self, limit: int = 1 << 62) -> SpanTable:
        """The record of what happened, over a connection of its own; the caller closes it.

        Args:
            limit: bytes that it is kept within when something is written to it.

        Raises:
            StoreError: the database cannot be opened.
        """
        return SpanTable(self._path, limit)

    # Keeping small -----------------------------------------------------------------------

    def tidy(self, *, entries: int, size: int) -> _history.Tidied:
        """Forget history beyond a budget, write sparse segments anew, remove unused files.

        Args:
            entries: how many commits to keep of each space.
            size: bytes of commits to keep of each space; the last commit is always kept.

        Returns:
            What was removed.
        """
        tidied = _history.tidy(
            self._database, self._pages, self._writers.files(), entries=entries, size=size
        )
        self._writers.tidied()
        return tidied

    def usage(self) -> tuple[int, int]:
        """Bytes that the page data takes on disk, and how many files it is in."""
        found = [path.stat() for path in self._pages.iterdir()]
        return sum(stat.st_blocks * 512 for stat in found), len(found)

    def close(self) -> None:
        """Release every space and close the database; may be called twice."""
        self._writers.close()
        self._reading.close()
        self._database.close()
