"""The page data of the store: files that are appended to while one space runs, and never again.

Reads and writes happen at page-aligned places. A part that a commit needs is a *section*; its
digest is in the database, and a file whose identity (inode, size, time of change) is not what
it was after the last write is read and checked before anything of it is mapped.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import secrets
import shutil
from pathlib import Path

from ..errors import StoreError
from ..worker._memory import PAGE
from . import _faults

CHUNK = 4 << 20


def identity(descriptor: int) -> str:
    """What changes when a file is touched: inode, length in bytes, time of the last change."""
    found = os.fstat(descriptor)
    return f"{found.st_ino}:{found.st_size}:{found.st_mtime_ns}"


class Segment:
    """A file that takes the pages of commits, one after another.

    Args:
        path: of a file that does not exist yet.
        sync: whether what is appended must survive the loss of power.
    """

    def __init__(self, path: Path, *, sync: bool) -> None:
        self.path = path
        self._sync = sync
        self.pages = 0
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            self._descriptor = os.open(path, flags, 0o600)
        except OSError as error:
            raise explained(error) from error
        # Other servers remove files that no commit needs; this one is about to be needed.
        fcntl.flock(self._descriptor, fcntl.LOCK_SH)
        if sync:
            sync_folder(path.parent)

    @property
    def descriptor(self) -> int:
        """Of the file; not to be handed out, since it can be written."""
        return self._descriptor

    def append(self, source: int, pages: int) -> tuple[int, str]:
        """Copy pages from the beginning of another file to the end of this one.

        Args:
            source: descriptor of the other file.
            pages: how many; the other file must have them.

        Returns:
            The first page of them here, and their SHA-256.

        Raises:
            StoreError: the disk is full; the segment is as it was before.
        """
        origin = self.pages
        digest = hashlib.sha256()
        try:
            done, length = 0, pages * PAGE
            while done < length:
                data = os.pread(source, min(CHUNK, length - done), done)
                if not data:
                    raise StoreError("the worker handed in fewer pages than it listed")
                digest.update(data)
                view, at = memoryview(data), origin * PAGE + done
                while view:
                    written = os.pwrite(self._descriptor, view, at)
                    view, at = view[written:], at + written
                done += len(data)
                _faults.point("segment:part")
            if self._sync:
                os.fsync(self._descriptor)
        except OSError as error:
            os.ftruncate(self._descriptor, origin * PAGE)
            raise explained(error) from error
        self.pages += pages
        return origin, digest.hexdigest()

    def close(self) -> None:
        """Close the file; may be called twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def take_image(source: Path, target: Path, digest: str, known: str, *, sync: bool) -> None:
    """Make an image a file of the store: linked where that is possible, else copied.

    Args:
        source: the image; nobody changes it in place.
        target: where it belongs; appears whole or not at all.
        digest: the SHA-256 that it must have.
        known: its identity when it last had that, or empty.
        sync: whether it must survive the loss of power when this returns.

    Raises:
        StoreError: the image is damaged, or the disk is full.
    """
    # Not by process id: two containers may share a home, and each have a process 1.
    part = target.with_suffix(f".part{secrets.token_hex(8)}")
    try:
        link_or_copy(source, part)
        descriptor = os.open(part, os.O_RDONLY)
        try:
            # A copy has another identity than what was copied, so it is read.
            pages = os.fstat(descriptor).st_size // PAGE
            sound = identity(descriptor) == known or section_is_sound(descriptor, 0, pages, digest)
            if sync:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if not sound:
            raise StoreError("the base image in the cache is damaged; run `rlm-mcp setup --force`")
        part.replace(target)
        if sync:
            sync_folder(target.parent)
    except OSError as error:
        raise explained(error) from error
    finally:
        part.unlink(missing_ok=True)


def link_or_copy(source: Path, target: Path) -> None:
    """Make a file appear in another place too; a copy only where the disk is another."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def section_is_sound(descriptor: int, origin: int, pages: int, digest: str) -> bool:
    """Read a section and compare its digest."""
    found, at, left = hashlib.sha256(), origin * PAGE, pages * PAGE
    while left:
        data = os.pread(descriptor, min(CHUNK, left), at)
        if not data:
            return False
        found.update(data)
        at, left = at + len(data), left - len(data)
    return found.hexdigest() == digest


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive the loss of power."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def explained(error: OSError) -> StoreError:
    """A failure of the disk, in words for the calling agent."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return StoreError(
            "the disk of RLM_MCP_HOME is full: the space goes on, but what it does now is not "
            "saved until there is room"
        )
    return StoreError(f"the store cannot be written ({error.strerror or error})")
