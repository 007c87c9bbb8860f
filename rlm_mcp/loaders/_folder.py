"""Walking a folder and packing its files one after another into one descriptor.

Every step is relative to an open folder and follows no link, so what happens to the tree in
the meantime cannot lead the walk out of it. The files are read on the way: 50,000 small ones cost
about five system calls each, and the bytes are copied once, from the buffer into the pack.
"""

# Names are used relative to descriptors, which Path cannot do.
# ruff: noqa: PTH110, PTH112, PTH118

from __future__ import annotations

import codecs
import os
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from ..errors import SourceError
from ._bundle import Entry, scratch, write_all
from ._ignore import Rules, ignored, read_rules
from ._pattern import Pattern, States
from ._roots import FOLDER_FLAGS, READ_FLAGS

MAX_FILES = 200_000
MAX_SEEN = 2_000_000
"""Entries looked at, taken or not: about ten seconds of listing (measured on ext4)."""
MAX_FILE_BYTES = 64 << 20
_MAX_DEPTH = 100
"""Folders inside each other; the walk holds a descriptor for each."""
_BUFFER = 8 << 20
_BINARY_BYTES = 8192
"""Where git looks for a NUL to tell binary from text: 8,000 in git, rounded to pages here."""
_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)
"""What text with NUL bytes begins with; the guest decodes it."""
_EXAMPLES = 3
_ENDS = {ord(end): repr(end)[1:-1] for end in "\n\r\t"}
"""Names may hold these, and are shown among lines of a reply."""


@dataclass(frozen=True)
class Walk:
    """What to take from a folder.

    Args:
        real: the folder, resolved.
        named: the folder as the caller wrote it.
        max_bytes: how much may be taken in all.
        pattern: which files; `None` for all.
        rules: what folders above ignore, nearest first.
        keep_binary: whether files with NUL bytes in their beginning are taken.
        max_files: how many may be taken.
        max_seen: how many entries may be looked at.
        max_file_bytes: how long a single file may be.
    """

    real: str
    named: str
    max_bytes: int
    pattern: Pattern | None = None
    rules: tuple[Rules, ...] = ()
    keep_binary: bool = False
    max_files: int = MAX_FILES
    max_seen: int = MAX_SEEN
    max_file_bytes: int = MAX_FILE_BYTES


@dataclass
class Pack:
    """The files of a folder in one descriptor, which the caller closes.

    Args:
        fd: the descriptor.
        entries: the files in the order of their paths.
        size: bytes in all.
        skipped: how many were left out, by reason.
        examples: some of their paths, by reason.
        spare: paths of files that the pattern names but a `.gitignore` rule leaves out.
    """

    fd: int
    entries: list[Entry] = field(default_factory=list)
    size: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)
    spare: list[str] = field(default_factory=list)
    changed: int = 0

    def skip(self, reason: str, path: str) -> None:
        """Count a file that is left out."""
        self.skipped[reason] += 1
        examples = self.examples.setdefault(reason, [])
        if len(examples) < _EXAMPLES:
            examples.append(_shown(path).translate(_ENDS))


@dataclass
class _Level:
    """A folder that the walk is in."""

    fd: int
    path: str
    rules: tuple[Rules, ...]
    waiting: Iterator[tuple[str, os.DirEntry[str], States]]


def pack_folder(folder: int, walk: Walk) -> Pack:
    """Walk a folder and pack its files.

    Args:
        folder: a descriptor of it, which stays open.
        walk: what to take.

    Raises:
        SourceError: it is too large or cannot be listed.
    """
    pack = Pack(scratch())
    try:
        _Packer(walk, pack).run(folder)
    except BaseException:
        os.close(pack.fd)
        raise
    return pack


class _Packer:
    def __init__(self, walk: Walk, pack: Pack) -> None:
        self._walk = walk
        self._pack = pack
        self._seen = 0
        self._found = 0
        self._fresh_buffer(_BUFFER)
        self._used = 0

    def run(self, folder: int) -> None:
        walk, pack = self._walk, self._pack
        start = walk.pattern.start if walk.pattern else frozenset()
        levels: list[_Level] = []
        try:
            try:
                levels.append(self._enter(os.dup(folder), "", walk.rules, start))
            except OSError as error:
                raise SourceError(f"{walk.named!r} cannot be read: {error.strerror}.") from None
            while levels:
                level = levels[-1]
                for name, entry, states in level.waiting:
                    path = level.path + name
                    try:
                        if entry.is_symlink():
                            self._link(folder, path)
                        elif not entry.is_dir(follow_symlinks=False):
                            self._take(level.fd, name, path)
                        elif len(levels) >= _MAX_DEPTH:
                            pack.skip("too deep", path)
                        else:
                            fd = os.open(name, FOLDER_FLAGS, dir_fd=level.fd)
                            levels.append(self._enter(fd, path + "/", level.rules, states))
                            break
                    except OSError:
                        pack.skip("unreadable", path)
                else:
                    os.close(levels.pop().fd)
            self._flush()
        finally:
            for level in levels:
                os.close(level.fd)

    def _enter(self, fd: int, path: str, rules: tuple[Rules, ...], states: States) -> _Level:
        """List a folder whose descriptor the level takes over."""
        try:
            own = read_rules(fd, ".gitignore", cut=len(path))
            if own is not None:
                rules = (own, *rules)
            return _Level(fd, path, rules, iter(self._listing(fd, path, rules, states)))
        except BaseException:
            os.close(fd)
            raise

    def _listing(
        self, fd: int, path: str, rules: tuple[Rules, ...], states: States
    ) -> list[tuple[str, os.DirEntry[str], States]]:
        """The entries to take or to enter, in the order that `git ls-files` has."""
        walk, pack = self._walk, self._pack
        pattern = walk.pattern
        listed = []
        with os.scandir(fd) as entries:
            for entry in entries:
                name = entry.name
                if name == ".git":
                    continue
                self._seen += 1
                if self._seen > walk.max_seen:
                    raise SourceError(
                        f"{walk.named!r} has over {walk.max_seen:,} entries. Name a folder "
                        "further down, or narrow it with pattern=, such as 'src/**/*.py'."
                    )
                is_folder = entry.is_dir(follow_symlinks=False)
                inner = states
                if pattern is not None:
                    inner = pattern.advance(states, name)
                    if not inner or not (is_folder or pattern.accepts(inner)):
                        continue
                if rules and ignored(rules, name, path + name, is_folder):
                    pack.skipped["ignored"] += 1
                    if pattern is not None and not is_folder and len(pack.spare) < walk.max_files:
                        pack.spare.append(path + name)
                    continue
                if not is_folder:
                    self._found += 1
                    if self._found > walk.max_files:
                        raise SourceError(
                            f"{walk.named!r} has over {walk.max_files:,} files. Narrow it with "
                            "pattern=, such as 'src/**/*.py', or name a folder further down."
                        )
                listed.append((name + "/" if is_folder else name, name, entry, inner))
        listed.sort(key=lambda item: item[0])
        return [(name, entry, inner) for _, name, entry, inner in listed]

    def take_beneath(self, folder: int, paths: list[str]) -> None:
        """Take files by their paths, each opened from the folder without following a link."""
        for path in paths:
            try:
                self._take_path(folder, path.split("/"), path)
            except OSError:
                self._pack.skip("unreadable", path)
        self._flush()

    def _take_path(self, folder: int, parts: list[str], path: str) -> None:
        fd = os.dup(folder)
        try:
            for part in parts[:-1]:
                deeper = os.open(part, FOLDER_FLAGS, dir_fd=fd)
                os.close(fd)
                fd = deeper
            self._take(fd, parts[-1], path)
        finally:
            os.close(fd)

    def _link(self, folder: int, path: str) -> None:
        """Take a link to a file inside the folder; leave every other link out."""
        root = self._walk.real
        target = os.path.realpath(os.path.join(root, path))
        if not (target + "/").startswith(root.rstrip("/") + "/"):
            self._pack.skip("link out of the folder", path)
        elif os.path.isdir(target):
            self._pack.skip("link to a folder", path)
        elif not os.path.exists(target):
            self._pack.skip("broken link", path)
        else:
            self._take_path(folder, target[len(root.rstrip("/")) + 1 :].split("/"), path)

    def _take(self, folder: int, name: str, path: str) -> None:
        """Read a file into the pack.

        Raises:
            SourceError: the pack becomes too large.
            OSError: the file cannot be read.
        """
        walk, pack = self._walk, self._pack
        fd = os.open(name, READ_FLAGS, dir_fd=folder)
        try:
            info = os.fstat(fd)
            size = info.st_size
            if not stat.S_ISREG(info.st_mode):
                pack.skip("special file", path)
                return
            if size > walk.max_file_bytes:
                pack.skip(f"over {walk.max_file_bytes >> 20} MB", path)
                return
            # One byte more than the file is long shows whether it has grown.
            if size >= len(self._buffer) - self._used:
                self._flush()
            read = os.readv(fd, [self._buffer[self._used : self._used + size + 1]])
            if size >= len(self._buffer) or 0 < read < size:
                read += self._rest(fd, read, size)
        finally:
            os.close(fd)
        start = self._used
        head = start + min(read, _BINARY_BYTES)
        has_nul = self._bytes.find(b"\0", start, head) >= 0
        if has_nul and not walk.keep_binary and not self._bytes.startswith(_MARKS, start):
            pack.skip("binary", path)
            return
        if read != size:
            pack.changed += 1
            read = min(read, size)
        if pack.size + read > walk.max_bytes:
            raise SourceError(
                f"{walk.named!r} holds more than {walk.max_bytes:,} bytes. Narrow it with "
                "pattern=, such as 'src/**/*.py', or name a folder further down."
            )
        pack.entries.append((_shown(path), pack.size, read))
        pack.size += read
        self._used = start + read

    def _rest(self, fd: int, read: int, size: int) -> int:
        """Read on where one call did not bring all, growing the buffer for a long file."""
        start = self._used
        if start + size + 1 > len(self._buffer):
            before = self._buffer[start : start + read]
            self._fresh_buffer(start + size + 1)
            self._buffer[start : start + read] = before
        more = 0
        while read + more <= size:
            n = os.readv(fd, [self._buffer[start + read + more : start + size + 1]])
            if n == 0:
                break
            more += n
        return more

    def _flush(self) -> None:
        write_all(self._pack.fd, self._buffer[: self._used])
        self._used = 0
        if len(self._buffer) > _BUFFER:
            self._fresh_buffer(_BUFFER)

    def _fresh_buffer(self, length: int) -> None:
        self._bytes = bytearray(length)
        self._buffer = memoryview(self._bytes)


def take_spare(folder: int, walk: Walk, pack: Pack) -> None:
    """Take the files that the pattern names although they are ignored.

    Raises:
        SourceError: they are too large together.
    """
    pack.skipped["ignored"] -= len(pack.spare)
    _Packer(walk, pack).take_beneath(folder, sorted(pack.spare))


def _shown(path: str) -> str:
    """A path as text, with bytes that are no UTF-8 written as `\\xNN`."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return os.fsencode(path).decode("utf-8", "backslashreplace")
    return path
