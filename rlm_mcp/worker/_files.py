"""The read-only files that a guest can open: where each lies in a descriptor of the worker.

They are the zip of its library, and matplotlib's fonts and styles, which matplotlib opens by
path. Those come as an archive whose members are stored as they are, so that a member is a range
of the archive's file and nothing is unpacked.
"""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from dataclasses import dataclass

LIBRARY_NAME = b"python315.zip"
DATA_FOLDER = LIBRARY_NAME + b"/matplotlib/mpl-data"
_LOCAL_HEADER = struct.Struct("<4s5H3I2H")
_MAX_FILES = 10_000
_NUMBERS = 0xFFFF


@dataclass(frozen=True)
class GuestFile:
    """A file of the guest's.

    Args:
        descriptor: of the file that holds it.
        offset: where it begins there.
        size: its bytes.
    """

    descriptor: int
    offset: int
    size: int


@dataclass(frozen=True)
class GuestFolder:
    """A folder of the guest's.

    Args:
        names: of what it holds; whether each is a folder.
    """

    names: tuple[tuple[bytes, bool], ...]


Entry = GuestFile | GuestFolder


class GuestFiles:
    """All that a guest can open, by its path under the folder of the library.

    Args:
        library: descriptor of the library's zip.
        data: descriptor of the archive with matplotlib's data, or -1.
    """

    def __init__(self, library: int, data: int = -1) -> None:
        size = os.lseek(library, 0, os.SEEK_END)
        self._entries: dict[bytes, Entry] = {LIBRARY_NAME: GuestFile(library, 0, size)}
        if data >= 0:
            self._add(data)
        self._by_number: dict[int, Entry] = {}
        for path, entry in sorted(self._entries.items()):
            number = zlib.crc32(path) & _NUMBERS
            while number in self._by_number:
                number = (number + 1) & _NUMBERS
            self._by_number[number] = entry
        self._numbers = {id(entry): number for number, entry in self._by_number.items()}

    def find(self, path: bytes) -> Entry | None:
        """What a path names; `None` for nothing. No path leads out of the table."""
        parts = [part for part in path.split(b"/") if part not in (b"", b".")]
        return self._entries.get(b"/".join(parts))

    def number(self, entry: Entry) -> int:
        """A number of an entry that is the same in every process that knows it."""
        return self._numbers[id(entry)]

    def numbered(self, number: int) -> Entry | None:
        """The entry with a number."""
        return self._by_number.get(number)

    def _add(self, data: int) -> None:
        folders: dict[bytes, dict[bytes, bool]] = {DATA_FOLDER: {}}
        with os.fdopen(os.dup(data), "rb") as file, zipfile.ZipFile(file) as archive:
            for info in archive.infolist()[:_MAX_FILES]:
                if info.is_dir() or info.compress_type != zipfile.ZIP_STORED:
                    continue
                header = os.pread(data, _LOCAL_HEADER.size, info.header_offset)
                *_, name, extra = _LOCAL_HEADER.unpack(header)
                offset = info.header_offset + _LOCAL_HEADER.size + name + extra
                path = DATA_FOLDER + b"/" + info.filename.encode()
                self._entries[path] = GuestFile(data, offset, info.file_size)
                is_folder = False
                while path != DATA_FOLDER:
                    path, _, last = path.rpartition(b"/")
                    folders.setdefault(path, {})[last] = is_folder
                    is_folder = True
        for path, names in folders.items():
            self._entries[path] = GuestFolder(tuple(sorted(names.items())))
