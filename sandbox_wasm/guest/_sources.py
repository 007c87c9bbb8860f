"""Where the variables of a space came from: `source_of`, and the table behind it.

The table is filled when something is loaded. An entry counts as long as its variable still holds
the very value that was loaded, so what code makes out of it is never taken for the source itself.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from types import FunctionType, ModuleType
from typing import Any, NamedTuple

from ._fit import plural
from ._hits import shown
from ._kept import table
from ._kinds import base_of, length_of
from ._path import PeekError

DIGEST = 32  # bytes


@shown
@dataclass(frozen=True, slots=True)
class Source:
    """Where a value came from.

    Args:
        path: the file, folder, glob or address, as it was named; of a file in a folder its own.
        sha256: of its bytes, in hexadecimal; None where they were not read as a whole.
        size: its bytes.
        loaded: when, in UTC.
        files: how many, where it is a folder.
    """

    path: str
    sha256: str | None
    size: int
    loaded: str
    files: int | None = None

    def __repr__(self) -> str:
        """One line."""
        parts = [self.path or "a value given in the call", plural(self.size, "byte")]
        if self.files is not None:
            parts.append(plural(self.files, "file"))
        if self.sha256:
            parts.append(f"sha256 {self.sha256}")
        return ", ".join([*parts, f"loaded {self.loaded}"])


class _Entry(NamedTuple):
    source: tuple[str, str | None, int, str, int | None]
    number: int  # identity of the value
    base: str = ""  # of the paths of a folder
    paths: dict[str, int] | None = None
    sizes: Sequence[int] = ()
    digests: bytes = b""

    def of_file(self, path: str) -> Source | None:
        at = (self.paths or {}).get(path)
        if at is None:
            return None
        digest = self.digests[at * DIGEST : (at + 1) * DIGEST].hex() or None
        whole = f"{self.base}/{path}" if self.base else path
        return Source(whole, digest, self.sizes[at], self.source[3])


_entries: dict[str, tuple[Any, ...]] = table("sources")
"""By the name of the variable: the fields of an `_Entry`."""


def _find(name: str) -> _Entry | None:
    row = _entries.get(name)
    return _Entry(*row) if row is not None else None


def namespace() -> dict[str, Any]:
    """The variables of the space."""
    return sys.modules["__main__"].__dict__


def name_of(value: object) -> str | None:
    """The variable that holds this very value; one that was loaded rather than another."""
    found = None
    for name, held in list(namespace().items()):
        if held is value and type(name) is str and name[:1] != "_":
            if name in _entries:
                return name
            found = found or name
    return found


def remember(
    name: str,
    value: object,
    origin: dict[str, Any],
    entries: Sequence[tuple[str, int, int]],
    digests: bytes,
) -> None:
    """Note where a variable came from.

    Args:
        name: of the variable.
        value: that it holds.
        origin: `path`, `base` (what the paths of a folder are relative to) and `time`.
        entries: path, offset and length of each file.
        digests: SHA-256 of each of them, one after another; empty where there are none.
    """
    size = sum(length for _, _, length in entries)
    path, base, time = (str(origin.get(key) or "") for key in ("path", "base", "time"))
    if base_of(value) is dict and origin.get("folder"):
        paths = {entry[0]: at for at, entry in enumerate(entries)}
        sizes = [entry[2] for entry in entries]
        whole = (path, None, size, time, len(entries))
        _entries[name] = (whole, id(value), base, paths, sizes, digests)
    else:
        _entries[name] = ((path, digests[:DIGEST].hex() or None, size, time, None), id(value))


def forget(name: str) -> None:
    """Drop what is known of a variable that was set in another way."""
    _entries.pop(name, None)


def entry_of(name: str, path: object = None) -> Source | None:
    """The source of a variable, or of a file in it."""
    entry = _find(name)
    if entry is None:
        return None
    if id(namespace().get(name, _entries)) != entry.number:
        del _entries[name]
        return None
    if path is None or not entry.paths:
        return Source(*entry.source)
    return entry.of_file(path) if type(path) is str else None


def exported() -> dict[str, tuple[Any, ...]]:
    """What is known of the variables that still hold what was loaded, to be pickled."""
    return {name: _entries[name] for name in list(_entries) if entry_of(name) is not None}


def imported(entries: dict[str, tuple[Any, ...]]) -> None:
    """Take over what `exported` gave, for variables that have been unpickled meanwhile."""
    for name, row in entries.items():
        if name in namespace():
            _entries[name] = _Entry(*row)._replace(number=id(namespace()[name]))


def source_of(what: Any) -> Source | None:
    """Where a variable came from: path or URL, SHA-256, size and time; None if code made it.

    Takes a name, an access path such as `'docs["src/a.py"]'`, or the value itself.
    """
    place = place_of(what)
    return entry_of(*place) if place else None


def place_of(what: Any) -> tuple[str, Any] | None:
    """The variable, and the path or index in it, that a name, an access path or a value means."""
    if type(what) is str and len(what) <= 2_000 and (parsed := _parsed(what)):
        name, key = parsed
        if name in namespace():
            _check(name, key)
            return name, key
    holder = name_of(what)
    if holder is not None:
        return holder, None
    if base_of(what) is None or not length_of(what):
        return None
    for name, row in list(_entries.items()):
        held: Any = namespace().get(name)
        if _Entry(*row).paths and base_of(held) is dict:
            for path, value in dict.items(held):
                if value is what:
                    return name, path
    return None


def _check(name: str, key: object) -> None:
    value = namespace()[name]
    if type(value) is FunctionType or type(value) is ModuleType:
        raise PeekError(f"{name!r} is no variable with data")
    if key is not None and base_of(value) is dict and key not in dict.keys(value):
        raise PeekError(f"{name} has no key {key!r:.200}")


def _parsed(text: str) -> tuple[str, Any] | None:
    """Name and first subscript of an access path."""
    try:
        node = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    if isinstance(node, ast.Name):
        return node.id, None
    if (
        isinstance(node, ast.Subscript)
        and isinstance(node.value, ast.Name)
        and isinstance(node.slice, ast.Constant)
    ):
        return node.value.id, node.slice.value
    return None
