"""Archives as folders: a dict of path to content, with what was left out counted by reason."""

from __future__ import annotations

import hashlib
import re
import stat
import tarfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from ._bounds import DAMAGE, MAX_ENTRIES, MAX_MEMBER, BombError, Bounded, cause, open_zip, too_large
from ._fit import one_line
from ._members import Members
from ._part import Memory, Part
from ._recognise import TAR_HEAD, compression_of, is_tar
from ._text import LoadError, decode_small

_MARKS = (b"\xff\xfe", b"\xfe\xff")
_NAMED = 3
_LONGEST = 4096
"""Characters of a path: more than any file of a folder can have."""
_DAMAGE: tuple[type[Exception], ...] = (*DAMAGE, tarfile.TarError)
Parse = Callable[[Part], Any]


@dataclass
class _Member:
    path: str
    size: int
    refused: str
    read: Callable[[], bytes]


class Skipped:
    """What was left out, by reason, with some names."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._names: dict[str, list[str]] = {}

    def add(self, reason: str, name: str) -> None:
        """Count a file."""
        self._counts[reason] += 1
        names = self._names.setdefault(reason, [])
        if len(names) < _NAMED:
            names.append(one_line(name[:80]))

    def __bool__(self) -> bool:
        return bool(self._counts)

    def __str__(self) -> str:
        """`left out 3: 2 binary (a.bin, b.bin), 1 link (c)`."""
        parts = []
        for reason, count in self._counts.most_common():
            names = self._names[reason]
            more = ", ..." if count > len(names) else ""
            parts.append(f"{count:,} {reason} ({', '.join(names)}{more})")
        return f"left out {self._counts.total():,}: {', '.join(parts)}"


def load_archive(
    part: Part, binaries: bool, parse: Parse | None = None, format: str = ""
) -> dict[str, Any]:
    """The files of an archive, each noted with the size and SHA-256 that it has there.

    Args:
        part: a zip, a tar, or a tar that is compressed.
        binaries: whether binary files are kept, as bytes.
        parse: makes the value of each file; text if it is left out.
        format: that it reads them as.

    Raises:
        LoadError: it is damaged, or too large.
    """
    chosen = _matcher(part)
    head = part.head(TAR_HEAD)
    members = _zip_members(part) if head.startswith(b"PK") else _tar_members(part, head)
    values: dict[str, Any] = {}
    noted = part.contents.members = {}
    skipped = Skipped()
    total = 0

    def take(inner: Part, data: bytes, digest: bytes) -> None:
        if parse is not None and _parsed(values, skipped, inner.name, parse, inner):
            noted[inner.name] = (len(data), digest)

    parsing = Members(part, format, take)
    try:
        for member in members:
            path = _inside(member.path)
            if path is None:
                skipped.add("leads out of the folder", member.path)
            elif len(path) > _LONGEST:
                skipped.add(f"with a name of over {_LONGEST:,} characters", path)
            elif not path or not chosen(path):
                continue
            elif member.refused:
                skipped.add(member.refused, path)
            elif member.size > MAX_MEMBER:
                skipped.add(f"over {MAX_MEMBER >> 20} MB", path)
            else:
                data = member.read()
                total += len(data)
                if (bomb := too_large(part, total)) is not None:
                    raise bomb
                if path in parsing:
                    parsing.finish()
                if noted.pop(path, None) is not None:
                    skipped.add("named twice (the later was taken)", path)
                    del values[path]
                digest = hashlib.sha256(data).digest()
                if parse is not None:
                    parsing.add(path, data, digest)
                    continue
                size = len(data)
                is_binary = b"\0" in data[:8192] and not data.startswith(_MARKS)
                if is_binary and not binaries:
                    skipped.add("binary", path)
                    continue
                values[path] = data if is_binary else decode_small(data)[0]
                noted[path] = (size, digest)
                if not is_binary:
                    part.input.wipe(data)
        parsing.finish()
    except (LoadError, MemoryError):
        raise
    except _DAMAGE as error:
        count = len(values) + len(parsing)
        raise part.error(
            f"the archive is damaged ({cause(error)}); {count:,} files could be read before "
            "that. Get it again."
        ) from None
    if skipped:
        part.note(f"{skipped}")
    if not values:
        hint = " Binary files are kept with format='folder'." if "binary" in str(skipped) else ""
        chose = f" that matches {part.pattern!r}" if part.pattern else ""
        raise part.error(
            f"the archive has no file to load{chose}. {str(skipped) if skipped else ''}.{hint}"
        )
    return values


def _parsed(values: dict[str, Any], skipped: Skipped, path: str, parse: Parse, inner: Part) -> bool:
    """Whether the value of a file could be made."""
    try:
        values[path] = parse(inner)
    except BombError:
        raise
    except LoadError as error:
        skipped.add("not readable", str(error).partition(". ")[0])
        return False
    return True


def _inside(path: str) -> str | None:
    """The path in its plain form, or `None` if it leads out of the folder."""
    path = path.replace("\\", "/")
    # Bytes that are no UTF-8 come as halves of surrogate pairs, which no text may hold.
    path = path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    parts = [piece for piece in path.split("/") if piece not in ("", ".")]
    if path.startswith("/") or ".." in parts or re.match(r"[A-Za-z]:", path) or "\0" in path:
        return None
    return "/".join(parts)


def _zip_members(part: Part) -> Iterator[_Member]:
    with open_zip(part) as archive:
        for info in archive.infolist():
            if info.is_dir():
                continue
            mode = info.external_attr >> 16
            refused = ""
            if mode and not stat.S_ISREG(mode) and stat.S_IFMT(mode):
                refused = "link" if stat.S_ISLNK(mode) else "special file"
            elif info.flag_bits & 1:
                refused = "encrypted"
            elif info.compress_type not in (0, 8, 12, 14):
                refused = "compressed in an unknown way"
            yield _Member(info.filename, info.file_size, refused, _zip_reader(archive, info))


def _zip_reader(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Callable[[], bytes]:
    return lambda: archive.read(info)


def _tar_members(part: Part, head: bytes) -> Iterator[_Member]:
    stream: Any = part.stream()
    if (compression := compression_of(head)) is not None:
        stream = Bounded(opened(stream, compression), part)
    count = 0
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        for info in archive:
            count += 1
            if count > MAX_ENTRIES:
                raise part.error(f"the archive has over {MAX_ENTRIES:,} entries.")
            if info.isdir():
                continue
            refused = "" if info.isreg() else "link" if info.issym() or info.islnk() else ""
            if not refused and not info.isreg():
                refused = "special file"
            yield _Member(info.name, info.size, refused, _tar_reader(archive, info))


def _tar_reader(archive: tarfile.TarFile, info: tarfile.TarInfo) -> Callable[[], bytes]:
    def read() -> bytes:
        file = archive.extractfile(info)
        data = file.read() if file is not None else b""
        if len(data) != info.size:
            raise EOFError("it ends in the middle of a file")
        return data

    return read


def opened(stream: Any, compression: str) -> Any:
    """A stream of what is compressed in another."""
    module = {"gz": "gzip", "bz2": "bz2", "xz": "lzma"}[compression]
    library: Any = import_module(module)
    return library.open(stream)


def load_compressed(part: Part, compression: str) -> tuple[Part, bytes] | None:
    """The one file that is compressed in another.

    Returns:
        The file, and its bytes; `None` if it is a tar archive.

    Raises:
        LoadError: it is damaged, or too large.
    """
    pieces: list[bytes] = []
    try:
        stream = Bounded(opened(part.stream(), compression), part)
        first = b""
        while len(first) < TAR_HEAD and (piece := stream.read(TAR_HEAD - len(first))):
            first += piece
        if is_tar(first):
            return None
        pieces.append(first)
        while piece := stream.read(1 << 20):
            pieces.append(piece)
    except (LoadError, MemoryError):
        raise
    except DAMAGE as error:
        done = sum(map(len, pieces))
        raise part.error(
            f"the {compression} data is damaged after {done:,} bytes ({cause(error)}). Get it "
            "again, or load it with format='bytes'."
        ) from None
    data = b"".join(pieces)
    while pieces:
        piece = pieces.pop()
        if piece is not data:  # joining one piece gives the piece itself
            part.input.wipe(piece)
    name = part.name
    for ending in (f".{compression}", f".{compression}ip", ".gzip"):
        if name.lower().endswith(ending):
            name = name[: -len(ending)]
            break
    inner = Part(
        Memory(data, part.input), 0, len(data), name, part.notes, part.label,
        contents=part.contents,
    )  # fmt: skip
    return inner, data


def _matcher(part: Part) -> Callable[[str], bool]:
    """Whether a path is one that the pattern names, by the rules for folders."""
    pattern = part.pattern
    if pattern is None:
        return lambda _path: True
    library: Any = import_module("glob")
    tests = []
    for way in _alternatives(pattern):
        way = way.removeprefix("./")
        if "/" not in way:
            way = f"**/{way}"
        if way.endswith("/"):
            way += "**"
        text = library.translate(way, recursive=True, include_hidden=True, seps="/")
        tests.append(re.compile(text))
    return lambda path: any(test.match(path) for test in tests)


def _alternatives(pattern: str, most: int = 200) -> list[str]:
    """The pattern for each way through its `{a,b}`."""
    found = re.search(r"\{([^{}]*)\}", pattern)
    if found is None:
        return [pattern]
    ways: list[str] = []
    for choice in found[1].split(","):
        ways += _alternatives(pattern[: found.start()] + choice + pattern[found.end() :], most)
        if len(ways) > most:
            raise LoadError(f"The pattern {pattern!r} has too many alternatives.")
    return ways
