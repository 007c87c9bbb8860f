"""One server writes to a space at a time: a lock on a file, which the kernel drops at death.

The file says which process holds it, for those who look and must not take it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

from ..errors import SpaceError


class SpaceLock:
    """The right to write to a space, held until `release` or the end of the process.

    Args:
        folder: of the lock files.
        handle: of the space.
        shared: only look whether it can be had; to be released at once.

    Raises:
        SpaceError: another process holds it.
    """

    def __init__(self, folder: Path, handle: str, *, shared: bool = False) -> None:
        self._held = False
        self._descriptor = os.open(folder / f"{handle}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(
                self._descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB
            )
        except OSError as error:
            holder = os.pread(self._descriptor, 32, 0).decode(errors="replace").strip()
            self.release()
            raise SpaceError(
                f"space `{handle}` is in use by another server (process {holder or 'unknown'}); "
                f'work on a copy: spaces(action="fork", space="{handle}")'
            ) from error
        if shared:
            return
        self._held = True
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, str(os.getpid()).encode(), 0)

    def release(self) -> None:
        """Let others write to the space; may be called twice."""
        if self._descriptor >= 0:
            with contextlib.suppress(OSError):
                if self._held:
                    os.ftruncate(self._descriptor, 0)
            with contextlib.suppress(OSError):
                os.close(self._descriptor)
            self._descriptor, self._held = -1, False


def is_held(folder: Path, handle: str) -> bool:
    """Whether a process holds the lock of a space, seen without touching the lock.

    Trying it, even shared, would turn away a server that wants it in that moment. So this goes
    by the process that the file names, which is right unless another has its number since it was
    killed; where the kernel tells who holds locks (Linux), that one would have to hold one too.

    Args:
        folder: of the lock files.
        handle: of the space.
    """
    try:
        with (folder / f"{handle}.lock").open("rb") as file:
            holder = int(file.read(32))
        if holder <= 0:
            return False  # which would name groups of processes
        os.kill(holder, 0)
    except PermissionError:
        pass  # of another user, but there
    except (OSError, ValueError, OverflowError):
        return False
    try:
        locks = Path("/proc/locks").read_text(encoding="ascii")
    except (OSError, ValueError):
        return True
    return any(line.split()[1:5:3] == ["FLOCK", str(holder)] for line in locks.splitlines())
