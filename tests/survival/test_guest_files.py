"""The files that a guest can open: what is found, and what goes on after a restart."""

from __future__ import annotations

import os
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from rlm_mcp.worker._files import DATA_FOLDER, LIBRARY_NAME, GuestFile, GuestFiles, GuestFolder
from rlm_mcp.worker._wasi import BADF, NOENT, ROFS, SUCCESS, Wasi

FONT = DATA_FOLDER + b"/fonts/a.ttf"


class Memory:
    """A linear memory of a few KB."""

    def __init__(self) -> None:
        self.data = bytearray(65536)

    def read(self, address: int, length: int) -> bytes:
        return bytes(self.data[address : address + length])

    def write(self, address: int, data: bytes) -> None:
        self.data[address : address + len(data)] = data

    def read_u32(self, address: int) -> int:
        return int.from_bytes(self.data[address : address + 4], "little")

    def write_u32(self, address: int, value: int) -> None:
        self.write(address, value.to_bytes(4, "little"))

    def write_u64(self, address: int, value: int) -> None:
        self.write(address, value.to_bytes(8, "little"))

    def read_file(self, descriptor: int, offset: int, address: int, length: int) -> int:
        data = os.pread(descriptor, length, offset)
        self.write(address, data)
        return len(data)


@pytest.fixture
def files(tmp_path: Path) -> Iterator[GuestFiles]:
    (tmp_path / "library.zip").write_bytes(b"library")
    with zipfile.ZipFile(tmp_path / "data.zip", "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("fonts/a.ttf", "the font")
        archive.writestr("fonts/b.ttf", "another")
        archive.writestr("packed", "x" * 1000, zipfile.ZIP_DEFLATED)
    opened = [os.open(tmp_path / name, os.O_RDONLY) for name in ("library.zip", "data.zip")]
    yield GuestFiles(*opened)
    for descriptor in opened:
        os.close(descriptor)


def open_path(wasi: Wasi, memory: Memory, path: bytes, create: int = 0) -> tuple[int, int]:
    memory.write(100, path)
    status = wasi.path_open(3, 0, 100, len(path), create, 0, 0, 0, 50)
    return status, memory.read_u32(50)


def read(wasi: Wasi, memory: Memory, fd: int, length: int) -> tuple[int, bytes]:
    memory.write(200, struct.pack("<II", 1000, length))
    status = wasi.fd_read(fd, 200, 1, 60)
    return status, memory.read(1000, memory.read_u32(60))


def test_paths_lead_to_ranges_of_the_archive_and_nowhere_else(files: GuestFiles) -> None:
    font = files.find(FONT)
    assert isinstance(font, GuestFile)
    assert os.pread(font.descriptor, font.size, font.offset) == b"the font"
    folder = files.find(DATA_FOLDER + b"/./fonts/")
    assert folder == GuestFolder(((b"a.ttf", False), (b"b.ttf", False)))
    assert isinstance(files.find(LIBRARY_NAME), GuestFile)
    for path in (b"packed", FONT + b"/..", b"../" + FONT, b"", b"/etc/passwd", FONT + b"/x"):
        assert files.find(path) is None, path


def test_a_file_goes_on_after_a_restart_once_its_place_is_said(files: GuestFiles) -> None:
    memory = Memory()
    before, after = (Wasi(lambda: memory, files) for _ in range(2))
    status, fd = open_path(before, memory, FONT)
    assert status == SUCCESS
    assert read(before, memory, fd, 4) == (SUCCESS, b"the ")
    # Where it was is not known there, and a guess would give wrong bytes.
    assert read(after, memory, fd, 4)[0] == BADF
    assert after.fd_seek(fd, 4, 0, 70) == SUCCESS
    assert read(after, memory, fd, 100) == (SUCCESS, b"font"), "and not a byte of the next file"
    assert after.fd_close(fd) == SUCCESS
    assert read(after, memory, fd + 1_000_000, 4)[0] == BADF


def test_what_was_open_in_a_state_that_is_gone_takes_no_room(files: GuestFiles) -> None:
    memory = Memory()
    wasi = Wasi(lambda: memory, files)
    for _ in range(200):
        assert open_path(wasi, memory, FONT)[0] == SUCCESS
        wasi.forget_files()


def test_nothing_is_written(files: GuestFiles) -> None:
    memory = Memory()
    wasi = Wasi(lambda: memory, files)
    assert open_path(wasi, memory, FONT, create=8)[0] == ROFS
    assert open_path(wasi, memory, DATA_FOLDER + b"/new", create=1)[0] == ROFS
    assert open_path(wasi, memory, DATA_FOLDER + b"/none")[0] == NOENT
