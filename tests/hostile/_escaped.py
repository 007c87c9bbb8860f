# ruff: noqa: PTH101, PTH102, PTH104, PTH108, PTH115, PTH116, PTH208, PTH211 - one attempt, one system call
"""Run as a process of its own: locks itself down as a worker does, then tries what an attacker
would who is out of WebAssembly. Prints what became of each attempt as JSON.

Its arguments: a folder that anybody may write to, the id of a process to attack, a port.
"""

from __future__ import annotations

import contextlib
import ctypes
import encodings.idna  # noqa: F401 - of no use after the walls are up
import errno
import fcntl
import json
import mmap
import os
import platform
import signal
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rlm_mcp.worker._lockdown import lock_down

libc = ctypes.CDLL(None, use_errno=True)
X86 = platform.machine() == "x86_64"


def call(x86: int, arm: int, *arguments: Any) -> int:
    """A system call by number; raises what the kernel answers."""
    found = libc.syscall(x86 if X86 else arm, *arguments)
    if found < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return int(found)


def main() -> None:
    folder, victim, port = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    committed = os.open(folder / "committed", os.O_RDONLY)
    here, there = socket.socketpair()
    loose = socket.socket()
    memory = os.memfd_create("scratch")
    plain = ctypes.create_string_buffer(4096)
    walls = lock_down()
    path = str(folder / "committed").encode()
    attempts: dict[str, Callable[[], object]] = {
        "open for reading": lambda: os.open(path, os.O_RDONLY),
        "open for writing": lambda: os.open(path, os.O_WRONLY),
        "create": lambda: os.open(folder / "new", os.O_CREAT | os.O_WRONLY),
        "open relative": lambda: os.open("etc/passwd", os.O_RDONLY),
        "openat2": lambda: call(437, 437, -100, b"/etc/passwd", bytes(24), 24),
        "reopen a descriptor": lambda: os.open(f"/proc/self/fd/{committed}", os.O_RDWR),
        "own memory": lambda: os.open("/proc/self/mem", os.O_RDWR),
        "the victim's memory": lambda: os.open(f"/proc/{victim}/mem", os.O_RDWR),
        "the victim's environment": lambda: os.open(f"/proc/{victim}/environ", os.O_RDONLY),
        "stat": lambda: os.stat(path),
        "statx": lambda: call(332, 291, -100, path, 0, 0xFFF, plain),
        "access": lambda: call(269, 48, -100, path, os.R_OK, 0),
        "readlink": lambda: os.readlink("/proc/self/exe"),
        "list": lambda: os.listdir(folder),
        "getcwd": os.getcwd,
        "chdir": lambda: os.chdir("/"),
        "unlink": lambda: os.unlink(path),
        "rename": lambda: os.rename(path, path + b"2"),
        "link": lambda: os.link(path, path + b"3"),
        "symlink": lambda: os.symlink(path, path + b"4"),
        "mkdir": lambda: os.mkdir(folder / "made"),
        "chmod": lambda: os.chmod(path, 0o777),
        "fchmod": lambda: os.fchmod(committed, 0o777),
        "truncate": lambda: os.truncate(path, 0),
        "write a read-only descriptor": lambda: os.write(committed, b"x"),
        "truncate a read-only descriptor": lambda: os.ftruncate(committed, 0),
        "map a read-only descriptor for writing": lambda: mmap.mmap(committed, 4096),
        "lock a file": lambda: fcntl.flock(committed, fcntl.LOCK_EX),
        "lease a file": lambda: fcntl.fcntl(committed, 1024, fcntl.F_RDLCK),
        "signal by fcntl": lambda: fcntl.fcntl(here.fileno(), fcntl.F_SETOWN, victim),
        "choose the signal": lambda: fcntl.fcntl(here.fileno(), 10, signal.SIGKILL),
        "socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM),
        "unix socket": lambda: socket.socket(socket.AF_UNIX, socket.SOCK_STREAM),
        "netlink": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW),
        "connect": lambda: loose.connect(("127.0.0.1", port)),
        "listen": lambda: loose.bind(("127.0.0.1", 0)),
        "connect a socket that is there": lambda: here.connect("\0abstract"),
        "fork": os.fork,
        "vfork": lambda: call(58, 220, 0x4111 if not X86 else 0, 0, 0, 0, 0),
        "clone a process": lambda: call(56, 220, signal.SIGCHLD, 0, 0, 0, 0),
        "clone3": lambda: call(435, 435, bytes(88), 88),
        "execve": lambda: os.execve("/bin/true", ["true"], {}),
        "execveat": lambda: call(322, 281, memory, b"", None, None, 0x1000),
        "posix_spawn": lambda: os.posix_spawn("/bin/true", ["true"], {}),
        "memfd_create": lambda: os.memfd_create("code"),
        "ptrace": lambda: call(101, 117, 16, victim, 0, 0),
        "process_vm_readv": lambda: call(310, 270, victim, None, 0, None, 0, 0),
        "process_vm_writev": lambda: call(311, 271, victim, None, 0, None, 0, 0),
        "kill": lambda: os.kill(victim, signal.SIGKILL),
        "kill by 0": lambda: os.kill(victim, 0),
        "tgkill": lambda: call(234, 131, victim, victim, 9),
        "pidfd_open": lambda: call(434, 434, victim, 0),
        "setpriority": lambda: os.setpriority(os.PRIO_PROCESS, victim, 19),
        "prlimit": lambda: call(302, 261, victim, 7, None, plain),
        "mount": lambda: call(165, 40, b"x", b"/tmp", b"tmpfs", 0, None),
        "unshare": lambda: call(272, 97, 0x10000000),
        "setns": lambda: call(308, 268, committed, 0),
        "chroot": lambda: os.chroot("/"),
        "io_uring": lambda: call(425, 425, 8, plain),
        "bpf": lambda: call(321, 280, 0, plain, 120),
        "perf": lambda: call(298, 241, plain, 0, -1, -1, 0),
        "userfaultfd": lambda: call(323, 282, 0),
        "keyctl": lambda: call(250, 219, 0, -3, 0),
        "prctl": lambda: call(157, 167, 4, 1, 0, 0, 0),
        "seccomp": lambda: call(317, 277, 2, 0, None),
        "personality": lambda: call(135, 92, 0xFFFFFFFF),
        "shmget": lambda: call(29, 194, 1, 4096, 0o1666),
        "mq_open": lambda: call(240, 180, b"x", 66, 0o600, None),
        "inotify": lambda: call(294, 26, 0),
        "ioctl": lambda: call(16, 29, 1, 0x5412, b"x"),
        "a call of 32 bits": lambda: call(0x40000000 | 2, 10_000, path, 0),
        # What a worker needs.
        "may: a thread": run_thread,
        "may: map memory": lambda: mmap.mmap(-1, 1 << 20).close(),
        "may: map a file": lambda: mmap.mmap(committed, 4096, prot=mmap.PROT_READ).close(),
        "may: read a descriptor": lambda: os.pread(committed, 10, 0),
        "may: write the scratch file": lambda: os.pwrite(memory, b"x", 0),
        "may: talk": lambda: there.send(b"x") and here.recv(1),
        "may: pass a descriptor on": lambda: socket.send_fds(here, [b"x"], [memory]),
        "may: random numbers": lambda: os.urandom(8),
    }
    became = {}
    for name, attempt in attempts.items():
        try:
            attempt()
            became[name] = "done"
        except OSError as error:
            became[name] = errno.errorcode.get(error.errno or 0, str(error))
    print(json.dumps({"walls": walls, "became": became}), flush=True)  # noqa: T201
    with contextlib.suppress(OSError):
        os.close(committed)
    os._exit(0)


def run_thread() -> None:
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()


if __name__ == "__main__":
    main()
