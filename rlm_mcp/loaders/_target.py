"""Writing a file so that it is either all there or not there at all."""

# Names are used relative to descriptors, which Path cannot do.
# ruff: noqa: PTH119

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat

from ..errors import BadRequestError, SourceError
from ._roots import Roots, open_parent

_ATTEMPTS = 10
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


class Target:
    """A file that is being written under a temporary name in the folder it is meant for.

    It is a context manager: leaving it without `commit()` removes what was written.

    Args:
        path: as the caller named it.
        folder: a descriptor of the folder, which this takes over, also when it fails.
        name: the final name.
        mode: permissions of the file that is replaced, `None` when there is none.
        overwrite: whether a file may be replaced.
    """

    def __init__(self, path: str, folder: int, name: str, mode: int | None, overwrite: bool):
        self.path = path
        self._folder = folder
        self._name = name
        self._overwrite = overwrite
        self._temporary = ""
        self.fd = -1
        try:
            for _ in range(_ATTEMPTS):
                temporary = f".rlm-mcp-{secrets.token_hex(8)}.tmp"
                try:
                    # Made with the default permissions, which is how to learn the umask without
                    # changing it for other threads, then closed to others while it is written.
                    self.fd = os.open(temporary, _CREATE, 0o666, dir_fd=folder)
                except FileExistsError:
                    continue
                self._temporary = temporary
                break
            else:
                raise SourceError(f"No temporary file can be made beside {path!r}.")
            default = stat.S_IMODE(os.fstat(self.fd).st_mode)
            self._mode = default if mode is None else mode
            os.fchmod(self.fd, 0o600)
        except BaseException:
            self.abort()
            raise

    def commit(self) -> None:
        """Give the file its name, durably.

        Raises:
            SourceError: it cannot be done, or a file of this name has appeared meanwhile.
        """
        if self.fd < 0:
            raise SourceError(f"{self.path!r} was written or given up already.")
        try:
            os.fchmod(self.fd, self._mode)
            os.fsync(self.fd)
            if self._overwrite:
                self._replace()
            else:
                self._link()
            with contextlib.suppress(OSError):  # not every file system can do it
                os.fsync(self._folder)
        except FileExistsError:
            raise SourceError(_exists(self.path)) from None
        except OSError as error:
            raise SourceError(f"{self.path!r} cannot be written: {error.strerror}.") from None
        finally:
            self.abort()

    def abort(self) -> None:
        """Remove what was written and close everything; does nothing after `commit()`."""
        temporary, self._temporary = self._temporary, ""
        if temporary:
            # The folder may be gone or read-only by now; there is nothing left to do then.
            with contextlib.suppress(OSError):
                os.unlink(temporary, dir_fd=self._folder)
        for fd in (self.fd, self._folder):
            if fd >= 0:
                os.close(fd)
        self.fd = self._folder = -1

    def __enter__(self) -> Target:
        return self

    def __exit__(self, *_: object) -> None:
        self.abort()

    def _replace(self) -> None:
        os.replace(self._temporary, self._name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        self._temporary = ""

    def _link(self) -> None:
        """Give the file its name unless the name is taken, in one step."""
        try:
            os.link(
                self._temporary,
                self._name,
                src_dir_fd=self._folder,
                dst_dir_fd=self._folder,
                follow_symlinks=False,
            )
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            # A file system without hard links: take the name first, then replace our own file.
            os.close(os.open(self._name, _CREATE, 0o600, dir_fd=self._folder))
            self._replace()


def open_target(path: str, roots: Roots, overwrite: bool = False) -> Target:
    """Begin to write a file.

    Args:
        path: where; its folder exists and lies inside a root.
        roots: what may be written.
        overwrite: whether an existing file may be replaced.

    Raises:
        BadRequestError: the path cannot be that of a file.
        SourceError: the file exists already, or cannot be written there.
    """
    if path.endswith("/") or os.path.basename(path) in (".", ".."):
        raise BadRequestError(f"{path!r} names a folder. Add a file name.")
    place = roots.resolve(path)
    if not place.parts:
        raise BadRequestError(f"{path!r} is a folder. Add a file name.")
    if any(part.lower() == ".git" for part in place.real.split("/")):
        raise SourceError(
            f"{path!r} is inside of a .git folder, whose files make git run commands. Write it "
            "somewhere else."
        )
    try:
        folder = open_parent(place)
    except FileNotFoundError:
        raise SourceError(
            f"The folder of {path!r} does not exist, and saving makes none. Make it first, or "
            "choose another."
        ) from None
    except OSError as error:
        raise SourceError(f"{path!r} cannot be written: {error.strerror}.") from None
    try:
        name = place.parts[-1]
        mode = _existing(path, name, folder, overwrite)
    except BaseException:
        os.close(folder)
        raise
    try:
        return Target(path, folder, name, mode, overwrite)
    except OSError as error:
        raise SourceError(f"{path!r} cannot be written: {error.strerror}.") from None


def _existing(path: str, name: str, folder: int, overwrite: bool) -> int | None:
    try:
        info = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SourceError(f"{path!r} cannot be written: {error.strerror}.") from None
    if stat.S_ISDIR(info.st_mode):
        raise BadRequestError(f"{path!r} is a folder. Add a file name.")
    if not stat.S_ISREG(info.st_mode):
        raise SourceError(f"{path!r} is not a regular file, so it is not replaced.")
    if not overwrite:
        raise SourceError(_exists(path))
    return stat.S_IMODE(info.st_mode)


def _exists(path: str) -> str:
    return f"{path!r} exists already. Choose another name, or say overwrite=True to replace it."
