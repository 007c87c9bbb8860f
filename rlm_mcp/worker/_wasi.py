"""WASI preview 1 for one guest: a clock, randomness, sleep, and a few read-only files.

The guest's whole file system is the zip of its library and the data of matplotlib, read from
descriptors that the worker was handed. Everything that would reach further answers with an error
code, so there is no path of this machine that the guest can name. Written here, and not taken
from wasmtime, because the clock must not run backwards when a space moves to another process, a
sleep must end when the execution is stopped, and a fault in host code that touches guest memory
must be ours.

Source of the numbers and layouts: WASI snapshot preview 1, `typenames.witx`.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Protocol

from wasmtime import FuncType, Linker, ValType

from ._files import Entry, GuestFile, GuestFiles, GuestFolder
from ._open_files import OpenFiles

SUCCESS, ACCES, BADF, FAULT, INVAL, ISDIR, MFILE, NOENT, NOSYS, NOTDIR, PERM, ROFS, SPIPE = (
    0, 2, 8, 21, 28, 31, 33, 44, 52, 54, 63, 69, 70,
)  # fmt: skip

LIBRARY_FOLDER = b"/usr/local/lib"
ARGUMENTS = (b"/usr/local/bin/python.wasm",)
ENVIRONMENT = (b"TMPDIR=/tmp", b"PYTHONTZPATH=", b"HOME=/", b"PYTHONUTF8=1")

_CHARACTER_DEVICE, _DIRECTORY, _REGULAR = 2, 3, 4
_RIGHTS = (1 << 30) - 1
_STRAY_BYTES = 8192


class GuestExitError(Exception):
    """The guest called `proc_exit`; ends its instance.

    Args:
        code: the exit code that the guest gave.
    """

    def __init__(self, code: int) -> None:
        super().__init__(f"the guest exited with code {code}")
        self.code = code


class GuestMemory(Protocol):
    """What WASI needs of a linear memory; every access is checked against its size."""

    def read(self, address: int, length: int) -> bytes: ...
    def write(self, address: int, data: bytes) -> None: ...
    def read_u32(self, address: int) -> int: ...
    def write_u32(self, address: int, value: int) -> None: ...
    def write_u64(self, address: int, value: int) -> None: ...
    def read_file(self, descriptor: int, offset: int, address: int, length: int) -> int: ...


class Wasi:
    """The host side of one guest's WASI imports.

    Args:
        memory: returns the guest's memory; called late, since imports are made before it.
        files: what the guest can open.
        monotonic_offset: nanoseconds added to this machine's monotonic clock, so that the
            guest's never runs backwards when its space moves.
    """

    def __init__(
        self, memory: Callable[[], GuestMemory], files: GuestFiles, monotonic_offset: int = 0
    ) -> None:
        self._memory = memory
        self._known = files
        self._files = OpenFiles(files)
        self._wake = threading.Event()
        self.monotonic_offset = monotonic_offset
        self.stray = bytearray()
        """The last bytes written to descriptors 1 and 2 past Python's own streams."""

    def monotonic_ns(self) -> int:
        """The guest's monotonic clock, in nanoseconds."""
        return time.monotonic_ns() + self.monotonic_offset

    def wake(self) -> None:
        """End a sleep of the guest early, or the next one if it is not asleep."""
        self._wake.set()

    def clear_wake(self) -> None:
        """Forget a wake that no sleep has seen."""
        self._wake.clear()

    def forget_files(self) -> None:
        """Take no file to be open: the guest is at another state, which knows what it has."""
        self._files.forget()

    def define(self, linker: Linker) -> None:
        """Add every import of the guest from WASI to a linker."""
        i32, i64 = ValType.i32(), ValType.i64()
        kinds = {"i": i32, "l": i64}
        for name, parameters in _SIGNATURES.items():
            function = getattr(self, name, None) or _refusal(_REFUSALS.get(name, NOSYS))
            results = [] if name == "proc_exit" else [i32]
            kind = FuncType([kinds[letter] for letter in parameters], results)
            linker.define_func("wasi_snapshot_preview1", name, kind, guarded(function, parameters))

    # Arguments and environment -------------------------------------------------------------

    def args_sizes_get(self, count: int, size: int) -> int:
        return self._sizes(ARGUMENTS, count, size)

    def args_get(self, pointers: int, buffer: int) -> int:
        return self._strings(ARGUMENTS, pointers, buffer)

    def environ_sizes_get(self, count: int, size: int) -> int:
        return self._sizes(ENVIRONMENT, count, size)

    def environ_get(self, pointers: int, buffer: int) -> int:
        return self._strings(ENVIRONMENT, pointers, buffer)

    def _sizes(self, strings: tuple[bytes, ...], count: int, size: int) -> int:
        self._memory().write_u32(count, len(strings))
        self._memory().write_u32(size, sum(len(text) + 1 for text in strings))
        return SUCCESS

    def _strings(self, strings: tuple[bytes, ...], pointers: int, buffer: int) -> int:
        memory = self._memory()
        for index, text in enumerate(strings):
            memory.write_u32(pointers + 4 * index, buffer)
            memory.write(buffer, text + b"\0")
            buffer += len(text) + 1
        return SUCCESS

    # Clocks, sleep, randomness -------------------------------------------------------------

    def clock_res_get(self, clock: int, out: int) -> int:
        if not 0 <= clock <= 3:
            return INVAL
        self._memory().write_u64(out, 1)
        return SUCCESS

    def clock_time_get(self, clock: int, _precision: int, out: int) -> int:
        if clock == 0:
            now = time.time_ns()
        elif clock == 1:
            now = self.monotonic_ns()
        elif clock in (2, 3):
            now = time.thread_time_ns()
        else:
            return INVAL
        self._memory().write_u64(out, now)
        return SUCCESS

    def poll_oneoff(self, subscriptions: int, events: int, count: int, out: int) -> int:
        if not 1 <= count <= 1024:
            return INVAL
        memory = self._memory()
        due: list[tuple[int, bytes]] = []  # (nanoseconds from now, event)
        for index in range(count):
            raw = memory.read(subscriptions + 48 * index, 48)
            kind = raw[8]
            event = raw[:8] + bytes(2) + bytes([kind]) + bytes(21)
            if kind != 0:  # a descriptor: standard streams and a plain file are always ready
                due.append((0, event))
                continue
            clock = int.from_bytes(raw[16:20], "little")
            timeout = int.from_bytes(raw[24:32], "little")
            if raw[40] & 1:
                timeout -= time.time_ns() if clock == 0 else self.monotonic_ns()
            due.append((max(0, timeout), event))
        first = min(timeout for timeout, _ in due)
        if first:
            # A wait longer than this overflows in the C library; the guest asks again.
            self._wake.wait(min(first / 1e9, 1e6))
            self._wake.clear()
        ready = [event for timeout, event in due if timeout <= first]
        for index, event in enumerate(ready):
            memory.write(events + 32 * index, event)
        memory.write_u32(out, len(ready))
        return SUCCESS

    def sched_yield(self) -> int:
        return SUCCESS

    def random_get(self, buffer: int, length: int) -> int:
        memory = self._memory()
        while length:
            part = min(length, 1 << 20)
            memory.write(buffer, os.urandom(part))
            buffer, length = buffer + part, length - part
        return SUCCESS

    def proc_exit(self, code: int) -> None:
        raise GuestExitError(code)

    # Files ---------------------------------------------------------------------------------

    def fd_prestat_get(self, fd: int, out: int) -> int:
        if fd != 3:
            return BADF
        self._memory().write_u32(out, 0)
        self._memory().write_u32(out + 4, len(LIBRARY_FOLDER))
        return SUCCESS

    def fd_prestat_dir_name(self, fd: int, buffer: int, length: int) -> int:
        if fd != 3 or length < len(LIBRARY_FOLDER):
            return BADF
        self._memory().write(buffer, LIBRARY_FOLDER)
        return SUCCESS

    def path_open(
        self, fd: int, _look: int, path: int, length: int,
        create: int, rights: int, _inherit: int, flags: int, out: int,
    ) -> int:  # fmt: skip
        if fd != 3:
            return BADF
        entry = self._known.find(self._memory().read(path, min(length, 4096)))
        if entry is None:
            return ROFS if create & 1 else NOENT
        if create & ~3 or flags & 1:  # exclusive or truncate; append
            return ROFS
        if create & 2 and not isinstance(entry, GuestFolder):
            return NOTDIR
        new = self._files.open(entry)
        if new is None:
            return MFILE
        self._memory().write_u32(out, new)
        return SUCCESS

    def path_filestat_get(self, fd: int, _look: int, path: int, length: int, out: int) -> int:
        if fd != 3:
            return BADF
        name = self._memory().read(path, min(length, 4096))
        entry = self._known.find(name)
        if entry is not None:
            return self._stat(out, _kind(entry), _size(entry))
        return self._stat(out, _DIRECTORY, 0) if name in (b".", b"") else NOENT

    def fd_filestat_get(self, fd: int, out: int) -> int:
        if (file := self._files.get(fd)) is not None:
            return self._stat(out, _kind(file.entry), _size(file.entry))
        if fd == 3:
            return self._stat(out, _DIRECTORY, 0)
        return self._stat(out, _CHARACTER_DEVICE, 0) if fd in (0, 1, 2) else BADF

    def _stat(self, out: int, kind: int, size: int) -> int:
        fields = (1, kind, kind, 1, size, 0, 0, 0)
        self._memory().write(out, b"".join(field.to_bytes(8, "little") for field in fields))
        return SUCCESS

    def fd_fdstat_get(self, fd: int, out: int) -> int:
        if (file := self._files.get(fd)) is not None:
            kind = _kind(file.entry)
        elif fd == 3:
            kind = _DIRECTORY
        elif fd in (0, 1, 2):
            kind = _CHARACTER_DEVICE
        else:
            return BADF
        rights = _RIGHTS.to_bytes(8, "little")
        self._memory().write(out, bytes([kind]) + bytes(7) + rights + rights)
        return SUCCESS

    def fd_close(self, fd: int) -> int:
        return SUCCESS if self._files.close(fd) else BADF

    def fd_advise(self, fd: int, _offset: int, _length: int, _advice: int) -> int:
        return SUCCESS if self._files.get(fd) else BADF

    def fd_seek(self, fd: int, offset: int, whence: int, out: int) -> int:
        file = self._files.get(fd)
        if file is None:
            return SPIPE if 0 <= fd <= 2 else BADF
        base = {0: 0, 1: file.position, 2: _size(file.entry)}.get(whence)
        if base is None or not 0 <= base + offset < 1 << 62:
            return INVAL
        file.position = base + offset
        self._memory().write_u64(out, base + offset)
        return SUCCESS

    def fd_tell(self, fd: int, out: int) -> int:
        return self.fd_seek(fd, 0, 1, out)

    def fd_read(self, fd: int, vectors: int, count: int, out: int) -> int:
        file = self._files.get(fd)
        if file is None:
            if fd != 0:
                return BADF
            self._memory().write_u32(out, 0)
            return SUCCESS
        if not isinstance(file.entry, GuestFile):
            return ISDIR
        if file.position is None:
            return BADF
        read = self._read(file.entry, file.position, vectors, count)
        file.position += read
        self._memory().write_u32(out, read)
        return SUCCESS

    def fd_pread(self, fd: int, vectors: int, count: int, offset: int, out: int) -> int:
        file = self._files.get(fd)
        if file is None:
            return BADF
        if not isinstance(file.entry, GuestFile):
            return ISDIR
        if not 0 <= offset < 1 << 62:
            return INVAL
        self._memory().write_u32(out, self._read(file.entry, offset, vectors, count))
        return SUCCESS

    def fd_readdir(self, fd: int, buffer: int, length: int, cookie: int, out: int) -> int:
        file = self._files.get(fd)
        if file is None:
            return BADF
        if not isinstance(file.entry, GuestFolder):
            return NOTDIR
        data = bytearray()
        start = cookie & 0xFFFFFFFFFFFFFFFF
        for number, (name, is_folder) in enumerate(file.entry.names[start:], start + 1):
            if len(data) >= length:
                break
            kind = _DIRECTORY if is_folder else _REGULAR
            data += number.to_bytes(8, "little") + number.to_bytes(8, "little")
            data += len(name).to_bytes(4, "little") + bytes([kind, 0, 0, 0]) + name
        # An entry that is cut off at the end is asked for again, with a larger buffer.
        data = data[:length]
        self._memory().write(buffer, bytes(data))
        self._memory().write_u32(out, len(data))
        return SUCCESS

    def _read(self, file: GuestFile, offset: int, vectors: int, count: int) -> int:
        memory, total = self._memory(), 0
        for index in range(min(count, 1024)):
            address = memory.read_u32(vectors + 8 * index)
            length = memory.read_u32(vectors + 8 * index + 4)
            part = max(0, min(length, file.size - offset - total))
            read = memory.read_file(file.descriptor, file.offset + offset + total, address, part)
            total += read
            if read < length:
                break
        return total

    def fd_write(self, fd: int, vectors: int, count: int, out: int) -> int:
        if fd not in (1, 2):
            return BADF
        memory, total = self._memory(), 0
        for index in range(min(count, 1024)):
            address = memory.read_u32(vectors + 8 * index)
            length = memory.read_u32(vectors + 8 * index + 4)
            self.stray += memory.read(address, min(length, _STRAY_BYTES))
            total += length
        del self.stray[:-_STRAY_BYTES]
        memory.write_u32(out, min(total, 0xFFFFFFFF))
        return SUCCESS


_SIGNATURES = {
    "args_get": "ii", "args_sizes_get": "ii", "environ_get": "ii", "environ_sizes_get": "ii",
    "clock_res_get": "ii", "clock_time_get": "ili", "fd_advise": "illi", "fd_close": "i",
    "fd_datasync": "i", "fd_fdstat_get": "ii", "fd_fdstat_set_flags": "ii",
    "fd_filestat_get": "ii", "fd_filestat_set_size": "il", "fd_filestat_set_times": "illi",
    "fd_pread": "iiili", "fd_prestat_get": "ii", "fd_prestat_dir_name": "iii",
    "fd_pwrite": "iiili", "fd_read": "iiii", "fd_readdir": "iiili", "fd_seek": "ilii",
    "fd_sync": "i", "fd_tell": "ii", "fd_write": "iiii", "path_create_directory": "iii",
    "path_filestat_get": "iiiii", "path_filestat_set_times": "iiiilli", "path_link": "iiiiiii",
    "path_open": "iiiiillii", "path_readlink": "iiiiii", "path_remove_directory": "iii",
    "path_rename": "iiiiii", "path_symlink": "iiiii", "path_unlink_file": "iii",
    "poll_oneoff": "iiii", "proc_exit": "i", "sched_yield": "", "random_get": "ii",
    "sock_accept": "iii", "sock_recv": "iiiiii", "sock_send": "iiiii", "sock_shutdown": "ii",
}  # fmt: skip

_REFUSALS = {
    "fd_filestat_set_size": BADF, "fd_filestat_set_times": BADF, "fd_pwrite": BADF,
    "fd_fdstat_set_flags": PERM, "fd_sync": BADF, "fd_datasync": BADF,
    "path_create_directory": ROFS, "path_filestat_set_times": ROFS, "path_link": ROFS,
    "path_readlink": INVAL, "path_remove_directory": ROFS, "path_rename": ROFS,
    "path_symlink": ROFS, "path_unlink_file": ROFS,
}  # fmt: skip


def _kind(entry: Entry) -> int:
    return _REGULAR if isinstance(entry, GuestFile) else _DIRECTORY


def _size(entry: Entry) -> int:
    return entry.size if isinstance(entry, GuestFile) else 0


def _refusal(code: int) -> Callable[..., int]:
    def refuse(*_arguments: int) -> int:
        return code

    return refuse


def guarded(function: Callable[..., int | None], parameters: str) -> Callable[..., int | None]:
    """Wrap an import: i32 arguments become unsigned, a bad pointer becomes an error code.

    Args:
        function: the import; raises `IndexError` for an address outside the memory.
        parameters: one letter an argument, `i` for i32 and `l` for i64.
    """
    masks = tuple(0xFFFFFFFF if letter == "i" else -1 for letter in parameters)

    def call(*arguments: int) -> int | None:
        try:
            return function(*[value & mask for value, mask in zip(arguments, masks, strict=True)])
        except IndexError:
            return FAULT

    return call
