"""Files that came through pipes, which cannot be read again: kept for the spaces with their views.

Each lies in a folder of the space that it came to. A space that may hold its view as well, because
it was forked from that one or copied something from it, has it in its own folder under the same
name, as another link to the same file. So the disk forgets it with the last of them, and nobody has
to keep count.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path


class Piped:
    """The files of all spaces.

    Args:
        home: of the store.
    """

    def __init__(self, home: Path) -> None:
        self._home = home / "piped"

    def folder(self, handle: str = "") -> Path:
        """Where the files of a space lie, or those of all."""
        return self._home / handle

    def share(self, source: str, target: str) -> None:
        """Keep the files of a space for another one, too.

        A disk without links cannot do that; there they go with the space that they came to.
        """
        with contextlib.suppress(OSError):
            files = list(self.folder(source).iterdir())
            self.folder(target).mkdir(mode=0o700, exist_ok=True)
            for file in files:
                with contextlib.suppress(FileExistsError):
                    os.link(file, self.folder(target) / file.name)

    def find(self, path: str) -> str:
        """Where a file is that lay at a path: there, or where another space has it."""
        if os.path.lexists(path) or Path(path).parent.parent != self._home.resolve():
            return path
        # Nobody can guess a name, so none comes twice.
        other = next(self._home.glob(f"*/{Path(path).name}"), None)
        return path if other is None else str(other.resolve())

    def remove(self, handle: str) -> None:
        """Give up the files of a space that is no more."""
        shutil.rmtree(self.folder(handle), ignore_errors=True)
