"""The folders that may be read and written, and opening what lies in them.

A path is resolved first, links and all, and must then lie inside a root. It is opened component
by component from the root with links forbidden, so whatever is swapped between the check and the
use either fails or is still inside. A link whose target is inside a root is fine: resolving has
already replaced it. Hard links cannot be told from the file itself.
"""

# Names are used relative to descriptors, which Path cannot do.
# ruff: noqa: PTH110, PTH111, PTH112, PTH118, PTH120

from __future__ import annotations

import difflib
import errno
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from ..errors import BadRequestError, SourceError

# Opening with O_PATH has no effect on what is opened, and needs no permission to read a folder.
_STEP = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | getattr(os, "O_PATH", os.O_RDONLY)
FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
"""For a folder that may have become a link."""
READ_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
"""For a file that may have become a link, a pipe or a terminal: never waits, never follows."""

_NAMES_LISTED = 10_000
"""Names looked through for near matches; a guess that keeps the error under a few ms."""
_MAX_PATH = 4096
_ATTEMPTS = 3
"""Tries when a path changes between resolving and opening it."""

_realpath = os.path.realpath  # a name of its own, so that a test can swap files after it


@dataclass(frozen=True)
class Place:
    """A resolved path and how to reach it without links.

    Args:
        named: as the caller wrote it.
        real: absolute, with links resolved.
        start: the folder to start from, itself resolved.
        parts: the components from there.
    """

    named: str
    real: str
    start: str
    parts: tuple[str, ...]


class _ChangedError(Exception):
    """A component became a link after the path was resolved."""


class Roots:
    """The allowed roots.

    Args:
        paths: folders, or single files; resolved once. The first is what relative paths are
            relative to.

    Raises:
        BadRequestError: none is given, or one does not exist.
    """

    def __init__(self, paths: Iterable[str | os.PathLike[str]]) -> None:
        roots: list[str] = []
        for path in paths:
            expanded = os.path.expanduser(os.fspath(path))
            real = _realpath(expanded)
            if not os.path.exists(real):
                raise BadRequestError(
                    f"The allowed root {os.fspath(path)!r} does not exist. Create it, or take it "
                    "out of --allow and RLM_MCP_ALLOW."
                )
            if real not in roots:
                roots.append(real)
        if not roots:
            raise BadRequestError("No allowed root was given. Add one with --allow PATH.")
        self.paths: tuple[str, ...] = tuple(roots)

    def resolve(self, path: str) -> Place:
        """Say where a path leads, without opening anything.

        Raises:
            BadRequestError: the path cannot be one.
            SourceError: it leads out of the roots.
        """
        if not path:
            raise BadRequestError("The path is empty.")
        if len(path) > _MAX_PATH:
            raise BadRequestError(
                f"The path {path[:60]!r}... has {len(path):,} characters; none is that long."
            )
        if "\0" in path:
            raise BadRequestError(f"The path {path!r} has a NUL character in it.")
        try:
            os.fsencode(path)
            expanded = os.path.expanduser(path)
            real = _realpath(os.path.join(self.paths[0], expanded))
        except (UnicodeError, ValueError) as error:
            raise BadRequestError(f"The path {path!r} cannot be a file name: {error}") from None
        except OSError as error:
            raise SourceError(f"{path!r} cannot be read: {error.strerror}.") from None
        for root in self.paths:
            if real == root or real.startswith(root.rstrip("/") + "/"):
                return self._place(path, real, root)
        allowed = ", ".join(self.paths)
        raise SourceError(
            f"{path!r} is outside of the allowed folders ({allowed}). Start the server with "
            "`--allow PATH`, or set RLM_MCP_ALLOW, to add one."
        )

    def _place(self, path: str, real: str, root: str) -> Place:
        start = root if os.path.isdir(root) else os.path.dirname(root)
        rest = real[len(start) :].strip("/")
        return Place(path, real, start, tuple(rest.split("/")) if rest else ())

    def open_file(self, path: str) -> int:
        """Open a regular file for reading.

        Returns:
            A descriptor, which the caller closes.

        Raises:
            BadRequestError: the path cannot be one.
            SourceError: it is missing, outside of the roots, unreadable, or not a regular file.
        """
        fd, info = self.open(path)
        if stat.S_ISREG(info.st_mode):
            return fd
        os.close(fd)
        raise SourceError(f"{path!r} is a folder, not a file. Name a file in it.")

    def open_folder(self, path: str) -> int:
        """Open a folder for listing.

        Raises:
            BadRequestError: the path cannot be one.
            SourceError: it is missing, outside of the roots, unreadable, or not a folder.
        """
        fd, info = self.open(path)
        if stat.S_ISDIR(info.st_mode):
            return fd
        os.close(fd)
        raise SourceError(f"{path!r} is a file, not a folder.")

    def open(self, path: str) -> tuple[int, os.stat_result]:
        """Open a regular file or a folder for reading.

        Returns:
            A descriptor, which the caller closes, and what `os.fstat` says of it.

        Raises:
            BadRequestError: the path cannot be one.
            SourceError: it is missing, outside of the roots, unreadable, or something else.
        """
        for _ in range(_ATTEMPTS):
            place = self.resolve(path)
            try:
                return self._open(place)
            except _ChangedError:
                continue
            except OSError as error:
                raise SourceError(self._explain(place, error)) from None
        raise SourceError(
            f"{path!r} cannot be opened: links on its way lead round in a circle, or change all "
            "the time. Name the file itself."
        )

    def exists(self, path: str) -> bool:
        """Whether something inside the roots has exactly this path."""
        try:
            place = self.resolve(path)
            with _Parent(place) as parent:
                if place.parts:
                    os.stat(place.parts[-1], dir_fd=parent.fd, follow_symlinks=False)
        except (SourceError, BadRequestError, _ChangedError, OSError):
            return False
        return True

    def _open(self, place: Place) -> tuple[int, os.stat_result]:
        with _Parent(place) as parent:
            if not place.parts:
                fd = os.open(place.start, FOLDER_FLAGS)
                return fd, os.fstat(fd)
            return open_beside(place.named, place.parts[-1], parent.fd)

    def _explain(self, place: Place, error: OSError) -> str:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return self._missing(place)
        if error.errno in (errno.EACCES, errno.EPERM):
            return f"{place.named!r} cannot be read: permission denied. Allow it, or name another."
        return f"{place.named!r} cannot be read: {error.strerror or error}."

    def _missing(self, place: Place) -> str:
        """What to say of a path that is not there: how far it goes, and what is near."""
        try:
            fd = os.open(place.start, _STEP)
        except OSError:
            return f"The allowed root {place.start!r} is gone. Restart the server with another."
        reached = 0
        try:
            for part in place.parts[:-1]:
                try:
                    deeper = os.open(part, _STEP, dir_fd=fd)
                except OSError:
                    break
                os.close(fd)
                fd = deeper
                reached += 1
            wanted = place.parts[reached] if place.parts else ""
            near = _near(fd, wanted)
        finally:
            os.close(fd)
        text = f"{place.named!r} does not exist"
        if reached < len(place.parts) - 1:
            text += f" (there is no folder {wanted!r} on the way to it)"
        if not near:
            return f"{text}. Relative paths start at {self.paths[0]}."
        return f"{text}. Did you mean: {', '.join(near)}?"


class _Parent:
    """The folder that holds the last component of a place, as a descriptor for a `with` block."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self.fd = -1

    def __enter__(self) -> _Parent:
        self.fd = os.open(self._place.start, _STEP)
        try:
            for part in self._place.parts[:-1]:
                try:
                    deeper = os.open(part, _STEP, dir_fd=self.fd)
                except OSError as error:
                    raise _link_or(error, part, self.fd) from None
                os.close(self.fd)
                self.fd = deeper
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)


def open_parent(place: Place) -> int:
    """Open the folder that holds a place, for files to be made in it.

    Raises:
        SourceError: it changes while it is opened.
        OSError: it cannot be opened.
    """
    parent = Place(place.named, os.path.dirname(place.real), place.start, place.parts[:-1])
    try:
        with _Parent(parent) as above:
            if not parent.parts:
                return os.open(parent.start, FOLDER_FLAGS)
            try:
                return os.open(parent.parts[-1], FOLDER_FLAGS, dir_fd=above.fd)
            except OSError as error:
                raise _link_or(error, parent.parts[-1], above.fd) from None
    except _ChangedError:
        raise SourceError(f"The folder of {place.named!r} changed meanwhile. Try again.") from None


def open_beside(named: str, name: str, folder: int) -> tuple[int, os.stat_result]:
    """Open a regular file or a folder by its name in an open folder, following no link.

    Args:
        named: what to call it in an error.
        name: its last component.
        folder: a descriptor of the folder that holds it.

    Raises:
        SourceError: it is neither a regular file nor a folder.
        OSError: it cannot be opened.
    """
    info = os.stat(name, dir_fd=folder, follow_symlinks=False)
    if stat.S_ISLNK(info.st_mode):
        raise _ChangedError
    if stat.S_ISDIR(info.st_mode):
        fd = os.open(name, FOLDER_FLAGS, dir_fd=folder)
    elif stat.S_ISREG(info.st_mode):
        try:
            fd = os.open(name, READ_FLAGS, dir_fd=folder)
        except OSError as error:
            raise _link_or(error, name, folder) from None
    else:
        raise SourceError(_special(named, info.st_mode))
    info = os.fstat(fd)
    if stat.S_ISDIR(info.st_mode) or stat.S_ISREG(info.st_mode):
        return fd, info
    os.close(fd)
    raise SourceError(_special(named, info.st_mode))


def _link_or(error: OSError, name: str, folder: int) -> Exception:
    """The error itself, or the mark that a link has come into the way."""
    # O_DIRECTORY | O_NOFOLLOW on a link says ENOTDIR or ELOOP, by system; on a file ENOTDIR too.
    if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.EMLINK):
        try:
            if stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                return _ChangedError()
        except OSError as later:
            return later
    return error


def _special(named: str, mode: int) -> str:
    kinds = (
        (stat.S_ISFIFO, "a named pipe"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISCHR, "a device"),
        (stat.S_ISBLK, "a device"),
    )
    kind = next((text for test, text in kinds if test(mode)), "something else")
    return f"{named!r} is {kind}. Only regular files and folders can be loaded."


def _near(folder: int, wanted: str) -> list[str]:
    try:
        fd = os.open(".", FOLDER_FLAGS, dir_fd=folder)
    except OSError:
        return []
    try:
        with os.scandir(fd) as found:
            names = [entry.name for entry in islice(found, _NAMES_LISTED)]
    except OSError:
        return []
    finally:
        os.close(fd)
    by_case: dict[str, list[str]] = {}
    for name in sorted(names):
        by_case.setdefault(name.lower(), []).append(name)
    close = difflib.get_close_matches(wanted.lower(), by_case, n=4, cutoff=0.6)
    return [repr(name) for key in close for name in by_case[key]][:4]
