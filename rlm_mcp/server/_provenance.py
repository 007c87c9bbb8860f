"""Where a loaded value comes from, as the guest notes it: the source's name, time and digests."""

from __future__ import annotations

import asyncio
import datetime
import hashlib
import os
from typing import Any

from ..errors import SourceError
from ..loaders import Bundle
from ..loaders._pattern import has_magic, split_glob

_WINDOW = 8 << 20


class Provenance:
    """The origin of a bundle. Its bytes are hashed in a thread while the guest makes a value of
    them: that is no parsing, and on a second core it costs a load next to no time.

    Args:
        bundle: that is being loaded, as it was opened and before anything is made of it.
    """

    def __init__(self, bundle: Bundle) -> None:
        path = bundle.origin.path
        folder = bundle.kind == "folder"
        self.origin: dict[str, Any] = {
            "path": path,
            "base": (split_glob(path)[0] if has_magic(path) else path) if folder else "",
            "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "folder": folder,
            "size": bundle.size,
            "note": bundle.origin.note,
            "digests": True,
        }
        self.bundle = bundle
        """What the guest reads."""
        # A descriptor of its own: the bundle may be closed while the thread still reads.
        self._fd = os.dup(bundle.fd)
        self._ranges = [(offset, length) for _, offset, length in bundle.entries]
        self._stopped = False
        self._digests = asyncio.ensure_future(asyncio.to_thread(self._hash))

    async def answer(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Answer the guest, which asks for the digests when it has made the value.

        Then it is also said whether the source is still what it was, before the value is set.
        """
        if fields.get("op") != "source_digests":
            return {"refused": "this cannot be asked here"}
        digests = await asyncio.shield(self._digests)
        try:
            self.bundle.verify()
        except SourceError as error:
            return {"changed": str(error)}
        return {"sha256": digests} if digests is not None else {"refused": "it cannot be read"}

    async def close(self) -> None:
        """Wait for the thread to end; may be called twice."""
        self._stopped = True
        await asyncio.wait([self._digests])

    def _hash(self) -> str | None:
        """SHA-256 of each file, in hexadecimal, one after another."""
        try:
            return "".join(self._digest(offset, length) for offset, length in self._ranges)
        except OSError:
            return None
        finally:
            os.close(self._fd)

    def _digest(self, offset: int, length: int) -> str:
        digest = hashlib.sha256()
        while length and not self._stopped:
            data = os.pread(self._fd, min(length, _WINDOW), offset)
            if not data:
                break
            digest.update(data)
            offset += len(data)
            length -= len(data)
        return digest.hexdigest()
