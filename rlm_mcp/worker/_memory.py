"""The linear memory of a running guest, and mapping of files over it.

A linear memory never moves (wasmtime reserves 4 GiB of addresses for it), so it is a plain
range of this process's memory: files are mapped over it copy-on-write, and pages that the guest
wrote are told apart from those that still show a file.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import sys
from collections.abc import Callable, Sequence

PAGE = 4096
"""Bytes of the pages that commits are made of; a divisor of every host's page size in use."""
HOST_PAGE = mmap.PAGESIZE
"""Bytes of the pages that this machine maps: 4,096, or 16,384 on Apple's processors."""
WASM_PAGE = 65536

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [
    ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long,
]  # fmt: skip
_libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
memcmp = _libc.memcmp
"""The C library's: compares memory of this process by addresses, unchecked."""
memcmp.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
_MAP_FIXED = 0x10
_IOV_MAX = 512


class Memory:
    """A guest's linear memory, with every access checked against its size.

    Args:
        address: where the memory begins in this process.
        size: returns its present length in bytes; asked again only when a check fails.
    """

    def __init__(self, address: int, size: Callable[[], int]) -> None:
        self.address = address
        self._ask_size = size
        self._size = size()

    @property
    def size(self) -> int:
        """The length of the memory in bytes."""
        self._size = self._ask_size()
        return self._size

    def _at(self, address: int, length: int) -> int:
        end = address + length
        if address < 0 or length < 0 or (end > self._size and end > self.size):
            raise IndexError(f"{length} bytes at {address} are outside of the guest's memory")
        return self.address + address

    def read(self, address: int, length: int) -> bytes:
        """Copy bytes out.

        Raises:
            IndexError: the range is not inside the memory.
        """
        return ctypes.string_at(self._at(address, length), length)

    def write(self, address: int, data: bytes) -> None:
        """Copy bytes in.

        Raises:
            IndexError: the range is not inside the memory.
        """
        ctypes.memmove(self._at(address, len(data)), data, len(data))

    def wipe(self, address: int, length: int) -> None:
        """Make bytes zero.

        Raises:
            IndexError: the range is not inside the memory.
        """
        ctypes.memset(self._at(address, length), 0, length)

    def forget(self, address: int, length: int) -> None:
        """Give back pages that are zero and of no file; they stay zero."""
        if sys.platform == "linux":  # elsewhere the call may do something else
            _libc.madvise(self._at(address, length), length, mmap.MADV_DONTNEED)

    def read_u32(self, address: int) -> int:
        """The unsigned 32-bit number at an address."""
        return ctypes.c_uint32.from_address(self._at(address, 4)).value

    def write_u32(self, address: int, value: int) -> None:
        """Store an unsigned 32-bit number."""
        ctypes.c_uint32.from_address(self._at(address, 4)).value = value

    def write_u64(self, address: int, value: int) -> None:
        """Store an unsigned 64-bit number."""
        ctypes.c_uint64.from_address(self._at(address, 8)).value = value

    def view(self, address: int, length: int) -> memoryview:
        """A writable view of a range, without a copy; valid while the instance lives."""
        start = self._at(address, length)
        if not length:
            return memoryview(bytearray())
        return memoryview((ctypes.c_ubyte * length).from_address(start)).cast("B")

    def read_file(self, descriptor: int, offset: int, address: int, length: int) -> int:
        """Read from a file straight into the guest.

        Returns:
            The bytes read; fewer than asked for only at the end of the file.
        """
        view, done = self.view(address, length), 0
        while done < length:
            read = os.preadv(descriptor, [view[done:]], offset + done)
            if read == 0:
                break
            done += read
        return done

    def write_file(self, descriptor: int, ranges: Sequence[tuple[int, int]]) -> None:
        """Write parts of the memory to where a file stands.

        Args:
            descriptor: of the file.
            ranges: address and length of each part.

        Raises:
            IndexError: a range is not inside the memory; nothing was written.
        """
        views = [self.view(address, length) for address, length in ranges]
        for start in range(0, len(views), _IOV_MAX):
            _write_all(descriptor, views[start : start + _IOV_MAX])

    def map_file(self, descriptor: int, offset: int, address: int, length: int) -> None:
        """Map a part of a file over the memory, copy-on-write.

        All three numbers are multiples of `PAGE`; what is not one of the machine's larger pages
        is copied instead. The file must be at least `offset + length` long for as long as the
        mapping stands: reading past its end kills the process.

        Raises:
            OSError: the kernel refused, for want of mappings or memory.
        """
        if (offset | address | length) % HOST_PAGE:
            self.read_file(descriptor, offset, address, length)
            return
        kept = _libc.mmap(
            self._at(address, length),
            length,
            mmap.PROT_READ | mmap.PROT_WRITE,
            mmap.MAP_PRIVATE | _MAP_FIXED,
            descriptor,
            offset,
        )
        if kept != self._at(address, length):
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))


def _write_all(descriptor: int, views: list[memoryview]) -> None:
    while views:
        written = os.writev(descriptor, views)
        while views and written >= len(views[0]):
            written -= len(views.pop(0))
        if views and written:
            views[0] = views[0][written:]
