"""The second wall: what a worker gives up before it runs a guest.

Landlock takes away every path, seccomp every system call that is not needed to compute and to
talk over descriptors that are already open (also those that only look at a path, which Landlock
does not cover), and rlimits core dumps and endless files. An escape from WebAssembly lands in a
process that can do nothing but answer the server. Each is used where the kernel has it;
`lock_down` says which took hold, and `doctor` shows it.

Applied while the process has one thread: neither reaches threads that exist already.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import resource
import struct
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)

# prctl and seccomp: include/uapi/linux/prctl.h, seccomp.h, filter.h
_PR_SET_NO_NEW_PRIVS, _PR_SET_DUMPABLE, _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 38, 4, 22, 2
_PR_SET_PDEATHSIG, _SIGKILL = 1, 9
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_LOAD, _JUMP_EQUAL, _JUMP_SET, _RETURN = 0x20, 0x15, 0x45, 0x06
_CLONE_THREAD = 0x00010000
_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

# Landlock: include/uapi/linux/landlock.h; the numbers are the same on every architecture.
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT, _LANDLOCK_VERSION = 444, 445, 446, 1
_BENEATH = 1
EXECUTE, READ, LIST = 1 << 0, 1 << 2, 1 << 3
"""Rights over a file or what lies in a folder."""
_LANDLOCK_FILES = {1: 13, 2: 14, 3: 15, 4: 15}
"""How many rights over files each version knows; 16 from version 5 on."""

_ALLOWED = {
    # name: (x86_64, aarch64); None where the architecture has no such call
    "read": (0, 63), "write": (1, 64), "readv": (19, 65), "writev": (20, 66),
    "pread64": (17, 67), "pwrite64": (18, 68), "preadv": (295, 69), "pwritev": (296, 70),
    "preadv2": (327, 286), "pwritev2": (328, 287),
    "sendmsg": (46, 211), "recvmsg": (47, 212), "sendto": (44, 206), "recvfrom": (45, 207),
    "close": (3, 57), "fstat": (5, 80), "lseek": (8, 62), "ftruncate": (77, 46), "dup": (32, 23),
    "poll": (7, None), "ppoll": (271, 73), "select": (23, None), "pselect6": (270, 72),
    "mmap": (9, 222), "munmap": (11, 215), "mprotect": (10, 226), "mremap": (25, 216),
    "madvise": (28, 233), "brk": (12, 214), "membarrier": (324, 283), "mincore": (27, 232),
    "futex": (202, 98), "sched_yield": (24, 124), "sched_getaffinity": (204, 123),
    "clock_gettime": (228, 113), "clock_nanosleep": (230, 115), "nanosleep": (35, 101),
    "clock_getres": (229, 114), "gettimeofday": (96, 169), "time": (201, None),
    "getrandom": (318, 278), "getpid": (39, 172), "gettid": (186, 178),
    "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139),
    "sigaltstack": (131, 132), "restart_syscall": (219, 128),
    "set_robust_list": (273, 99), "rseq": (334, 293), "exit": (60, 93), "exit_group": (231, 94),
    "getrlimit": (97, 163), "sysinfo": (99, 179), "uname": (63, 160), "getrusage": (98, 165),
}  # fmt: skip
_PROGRAM_CALLS = {
    # what the dynamic loader and a program in Rust need to start, besides
    "execve": (59, 221), "openat": (257, 56), "newfstatat": (262, 79), "statx": (332, 291),
    "access": (21, None), "arch_prctl": (158, None), "set_tid_address": (218, 96),
    "getcwd": (79, 17),
}  # fmt: skip
_CLONE, _CLONE3, _FCNTL = (56, 220), (435, 435), (72, 25)
_FCNTL_COMMANDS = (0, 1, 2, 3, 4, 1030)
"""F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC. Others lock or lease files, or
make the kernel send any signal to any process of the user."""
_IOCTL = (16, 29)
PAGEMAP_SCAN = 0xC0606610
"""The one `ioctl` that a worker needs: which pages of its memory were written. Linux 6.7 and
later, `_IOWR('f', 16, struct pm_scan_arg)` in include/uapi/linux/fs.h."""


def lock_down() -> list[str]:
    """Give up every right that a worker does not need.

    Returns:
        The walls that took hold: `landlock`, `seccomp`, `rlimits`.
    """
    return _lock_down({resource.RLIMIT_FSIZE: 16 << 30}, (), ())


def lock_down_program(program: Path, source: int, *, max_output: int, max_memory: int) -> list[str]:
    """Give up every right but to become a program that reads one open file.

    The program may be executed, its libraries read, and the file opened again by its descriptor
    (to map it). It gets no sockets, no other files, and makes no processes.

    Args:
        program: to be executed next.
        source: descriptor of the file.
        max_output: bytes of a file that it may write to.
        max_memory: bytes of memory of its own.

    Returns:
        The walls that took hold.
    """
    rules: list[tuple[str | int, int]] = [(str(program), EXECUTE | READ), (source, READ)]
    rules += [(folder, READ | LIST) for folder in ("/lib", "/lib64", "/usr/lib", "/usr/lib64")]
    rules.append(("/etc/ld.so.cache", READ))
    rules += [(str(path), EXECUTE | READ) for path in _loaders()]
    limits = {resource.RLIMIT_FSIZE: max_output, resource.RLIMIT_DATA: max_memory}
    return _lock_down(limits, rules, _PROGRAM_CALLS)


def size_and_mtime(descriptor: int) -> tuple[int, int]:
    """The bytes of an open file and when it was last changed, in nanoseconds since the epoch.

    The C library's `fstat` may take a system call that can also look at paths, which a process
    that is locked down does not have; the plain one it has.

    Raises:
        OSError: there is no such descriptor.
    """
    try:
        info = os.fstat(descriptor)
    except PermissionError:
        column = 0 if platform.machine() == "x86_64" else 1
        # struct stat: st_size at 48, st_mtim at 88, on both architectures
        found = ctypes.create_string_buffer(144)
        if _libc.syscall(_ALLOWED["fstat"][column], descriptor, found) != 0:
            raise
        seconds, part = struct.unpack_from("<qq", found.raw, 88)
        return struct.unpack_from("<q", found.raw, 48)[0], seconds * 1_000_000_000 + part
    return info.st_size, info.st_mtime_ns


def die_with_parent() -> None:
    """Have the kernel end this process when the one that started it ends."""
    if sys.platform == "linux":
        _libc.prctl(_PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0)


def _loaders() -> list[Path]:
    return [path for folder in ("/lib64", "/lib") for path in Path(folder).glob("ld-*.so.*")]


def _lock_down(
    limits: dict[int, int], rules: Iterable[tuple[str | int, int]], more: Iterable[str]
) -> list[str]:
    walls = []
    for resource_kind, limit in ({resource.RLIMIT_CORE: 0} | limits).items():
        resource.setrlimit(resource_kind, (limit, limit))
    walls.append("rlimits")
    if sys.platform != "linux":
        return walls
    _libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    if _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return walls
    if _landlock(rules):
        walls.append("landlock")
    if _seccomp(more):
        walls.append("seccomp")
    return walls


def _landlock(allowed: Iterable[tuple[str | int, int]]) -> bool:
    version = _libc.syscall(_LANDLOCK_CREATE, None, ctypes.c_size_t(0), _LANDLOCK_VERSION)
    if version < 1:
        return False
    files = (1 << _LANDLOCK_FILES.get(version, 16)) - 1
    network = 0b11 if version >= 4 else 0
    scoped = 0b11 if version >= 6 else 0
    fields = [files] + ([network] if version >= 4 else []) + ([scoped] if version >= 6 else [])
    rules = struct.pack(f"<{len(fields)}Q", *fields)
    handle = _libc.syscall(_LANDLOCK_CREATE, rules, ctypes.c_size_t(len(rules)), 0)
    if handle < 0:
        return False
    try:
        for place, rights in allowed:
            _allow(handle, place, rights)
        return bool(_libc.syscall(_LANDLOCK_RESTRICT, handle, 0) == 0)
    finally:
        os.close(handle)


def _allow(handle: int, place: str | int, rights: int) -> None:
    """Except a path, or what a descriptor is open on, from a ruleset."""
    if isinstance(place, int):
        rule = struct.pack("<Qi", rights, place)
        _libc.syscall(_LANDLOCK_ADD, handle, _BENEATH, rule, 0)
        return
    try:
        descriptor = os.open(place, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # one of several places where a system may keep its libraries
    try:
        _allow(handle, descriptor, rights)
    finally:
        os.close(descriptor)


class _Program(ctypes.Structure):
    """`struct sock_fprog`."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def _seccomp(more: Iterable[str]) -> bool:
    machine = platform.machine()
    if machine not in _ARCHITECTURES:
        return False
    column = 0 if machine == "x86_64" else 1
    allowed = [numbers[column] for numbers in _ALLOWED.values()]
    allowed += [_PROGRAM_CALLS[name][column] for name in more]
    program = _program(
        _ARCHITECTURES[machine],
        sorted(number for number in allowed if number is not None),
        _CLONE[column],
        _CLONE3[column],
        {_FCNTL[column]: _FCNTL_COMMANDS, _IOCTL[column]: (PAGEMAP_SCAN,)},
    )
    filter_ = _Program(len(program) // 8, program)
    return bool(
        _libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(filter_), 0, 0) == 0
    )


def _program(
    architecture: int,
    allowed: list[int],
    clone: int,
    clone3: int,
    commands: Mapping[int, Sequence[int]],
) -> bytes:
    """A filter in classic BPF over `struct seccomp_data`: number at 0, architecture at 4, the
    arguments from 16 on, each in 8 bytes. Of the calls in `commands` the second is looked at."""

    def step(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
        return struct.pack("<HBBI", code, yes, no, value)

    refused = step(_RETURN, _ERRNO | errno.EPERM)
    steps = [
        step(_LOAD, 4),
        step(_JUMP_EQUAL, architecture, yes=1),
        refused,
        step(_LOAD, 0),
        # The C library falls back to `clone`, whose flags can be looked at.
        step(_JUMP_EQUAL, clone3, no=1),
        step(_RETURN, _ERRNO | errno.ENOSYS),
        # A thread may be made, a process may not.
        step(_JUMP_EQUAL, clone, no=4),
        step(_LOAD, 16),
        step(_JUMP_SET, _CLONE_THREAD, no=1),
        step(_RETURN, _ALLOW),
        refused,
    ]
    for number, known in commands.items():
        steps += [step(_JUMP_EQUAL, number, no=2 + 2 * len(known)), step(_LOAD, 24)]
        for command in known:
            steps += [step(_JUMP_EQUAL, command, no=1), step(_RETURN, _ALLOW)]
        steps.append(refused)
    for number in allowed:
        steps += [step(_JUMP_EQUAL, number, no=1), step(_RETURN, _ALLOW)]
    return b"".join([*steps, refused])
