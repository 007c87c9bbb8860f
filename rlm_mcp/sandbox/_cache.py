"""The cache of what can be made again: the compiled guest and the base image.

Both are named by the digests of what they were made from, so a cache can be shared by every
server of the user and by several versions. The compiled guest is native code: the folder is
only the user's own, and is refused if it is not.
"""

from __future__ import annotations

import json
import os
import platform
import stat
import sys
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from sandbox_wasm import ARTEFACT, digest_of, guest_version

from ..errors import SandboxError
from ..worker._interrupt import StopPoint


@dataclass(frozen=True)
class BaseImage:
    """The memory of a guest that has started and imported, and holds no variables.

    Args:
        path: of the image.
        size: its bytes; a multiple of 65,536.
        digest: SHA-256 of its bytes.
        stop: where code is stopped, or `None` if that was not seen to work here.
        identity: inode, size and time of change of the file whose bytes had the digest; empty
            where nobody looked.
    """

    path: Path
    size: int
    digest: str
    stop: StopPoint | None
    identity: str = ""


@dataclass(frozen=True)
class Cache:
    """The files of the cache.

    Args:
        folder: of the cache; made if it is missing.
        module: SHA-256 of the guest's module, when it is not this version's.
    """

    folder: Path
    module: str = ARTEFACT.module

    @property
    def compiled(self) -> Path:
        """The compiled guest, bound to the guest, wasmtime, and this kind of machine."""
        machine = f"{sys.platform}-{platform.machine().lower()}"
        return self.folder / f"{self.module[:16]}-wasmtime-{version('wasmtime')}-{machine}.cwasm"

    @property
    def image(self) -> Path:
        """The base image, bound to the guest and to the project's code inside it."""
        return self.folder / f"{self.module[:16]}-{guest_version()}.image"

    @property
    def data(self) -> Path:
        """The archive with matplotlib's data, which the guest reads as files."""
        return self.folder / f"{self.module[:16]}-data.zip"

    @property
    def lock(self) -> Path:
        """Held by the one process that makes what is missing."""
        return self.folder / "lock"

    def claim(self) -> None:
        """Make the folder, and check that it belongs to the user alone.

        Raises:
            SandboxError: it cannot be made, or others can write to it.
        """
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = self.folder.stat()
            if found.st_uid != os.getuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                raise SandboxError(
                    f"the cache folder {self.folder} can be written by others, and native code "
                    "is loaded from it; run `chmod go-w` on it or set RLM_MCP_CACHE to another"
                )
            if not os.access(self.folder, os.W_OK | os.X_OK):
                raise PermissionError(13, "Permission denied")
        except OSError as error:
            raise SandboxError(
                f"the cache folder {self.folder} cannot be used ({error.strerror}); "
                "set RLM_MCP_CACHE to a folder that you can write to"
            ) from error

    def has_compiled(self) -> bool:
        """Whether the compiled guest is there, and is a file of the user's own."""
        try:
            found = self.compiled.lstat()
        except OSError:
            return False
        return (
            stat.S_ISREG(found.st_mode)
            and found.st_uid == os.getuid()
            and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
            and _recorded(self.compiled) is not None
        )

    def record_compiled(self) -> None:
        """Write the digest of the compiled guest; it counts from then on."""
        _record(self.compiled, digest_of(self.compiled))

    def has_data(self) -> bool:
        """Whether matplotlib's data is there."""
        return self.data.is_file() and _recorded(self.data) is not None

    def record_data(self) -> None:
        """Write the digest of matplotlib's data; it counts from then on."""
        _record(self.data, digest_of(self.data))

    def remove_damaged(self) -> list[str]:
        """Remove files that are not what was written, so that they are made again.

        A file whose inode, size and time of change are as they were is taken to be sound;
        another is read and its digest compared.

        Returns:
            The names of what was removed.
        """
        removed = []
        for path in (self.compiled, self.image, self.data):
            if path.exists() and not _is_sound(path):
                path.unlink(missing_ok=True)
                _record_of(path).unlink(missing_ok=True)
                removed.append(path.name)
        return removed

    def base_image(self) -> BaseImage | None:
        """The base image, or `None` if it is missing or not whole."""
        described = _recorded(self.image)
        if described is None:
            return None
        try:
            stop = described["stop"]
            found = BaseImage(
                self.image,
                int(described["size"]),
                str(described["digest"]),
                StopPoint(**stop) if stop else None,
                str(described.get("identity", "")),
            )
            whole = self.image.stat().st_size == found.size
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return found if whole else None

    def record_image(self, image: BaseImage) -> None:
        """Write what belongs to the base image; the image counts from then on."""
        stop = asdict(image.stop) if image.stop else None
        _record(self.image, image.digest, size=image.size, stop=stop)

    def is_ready(self) -> bool:
        """Whether nothing is missing."""
        return self.has_compiled() and self.has_data() and self.base_image() is not None

    def clear(self) -> None:
        """Remove what this version would use, so that it is made again."""
        for path in (self.compiled, self.image, self.data):
            path.unlink(missing_ok=True)
            _record_of(path).unlink(missing_ok=True)


def _record_of(path: Path) -> Path:
    return path.with_name(path.name + ".json")


def _recorded(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(_record_of(path).read_text())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and isinstance(found.get("digest"), str) else None


def _record(path: Path, digest: str, **more: Any) -> None:
    record = _record_of(path)
    part = record.with_name(f"{record.name}.part{os.getpid()}")
    part.write_text(json.dumps({**more, "digest": digest, "identity": _identity(path)}))
    part.replace(record)


def _identity(path: Path) -> str:
    found = path.stat()
    return f"{found.st_ino}:{found.st_size}:{found.st_mtime_ns}"


def _is_sound(path: Path) -> bool:
    described = _recorded(path)
    if described is None:
        return False
    if described.get("identity") == _identity(path):
        return True
    digest = described.pop("digest")
    if digest_of(path) != digest:
        return False
    _record(path, digest, **{key: described[key] for key in described.keys() - {"identity"}})
    return True
