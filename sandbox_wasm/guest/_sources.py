"""Where the variables of a space came from: `source_of`, and the table behind it.

The table is filled when something is loaded. An entry counts as long as its variable still holds
the very value that was loaded, so what code makes out of it is never taken for the source itself.
"""

from __future__ import annotations

import contextlib
import hashlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from types import FunctionType, ModuleType
from typing import Any, NamedTuple

from ._fit import plural
from ._guard import guarded
from ._hits import shown
from ._kept import table
from ._kinds import base_of, length_of, table_kind
from ._lines import as_text, is_text, plain
from ._path import PeekError, resolve
from ._places import MEMBER, Contents, Keys, access_path, parsed, reference
from ._view import FileView, is_view

DIGEST = 32  # bytes
_CHECKED = 16 << 20  # characters of a text whose digest is compared again: about 0.1 s
_SMALL = 1_000
"""Items of a loaded value among which the holder of a text is looked for each time it is searched:
some ten microseconds."""
_LARGE = 200_000
"""As `_SMALL`, where a reference is asked for, which is rare."""
_DERIVED = ("page", "slide", "chapter")
"""Items that are texts which no file holds as they are."""
_ENCODINGS = ("utf-8", "utf-8-sig", "latin-1", "cp1252", "utf-16", "utf-16-le", "utf-16-be")


@shown
@dataclass(frozen=True, slots=True)
class Source:
    """Where a value came from.

    Args:
        path: the file, folder, glob or address, as it was named; of a part of it the reference to
            that, such as `logs.zip!/a/b.log` or `report.pdf#page=3`.
        sha256: of the bytes of the file, or of the file in the archive, in hexadecimal; None where
            they were not read as a whole.
        size: its bytes.
        loaded: when, in UTC; empty where that is not known.
        files: how many, where it is a folder or an archive.
        note: what has to be known besides, such as from which space it was copied.
    """

    path: str
    sha256: str | None
    size: int
    loaded: str
    files: int | None = None
    note: str = ""

    def __repr__(self) -> str:
        """One line."""
        parts = [self.path or "a value given in the call", plural(self.size, "byte")]
        if self.files is not None:
            parts.append(plural(self.files, "file"))
        if self.sha256:
            parts.append(f"sha256 {self.sha256}")
        parts += [self.note] if self.note else []
        return ", ".join([*parts, *([f"loaded {self.loaded}"] if self.loaded else [])])


class _Entry(NamedTuple):
    """What is kept of a variable; new fields go to the end, as spaces hold older ones."""

    source: tuple[Any, ...]  # the fields of a `Source`
    number: int  # identity of the value
    base: str = ""  # of the paths of a folder or an archive
    paths: dict[str, int] | None = None
    sizes: Sequence[int] = ()
    digests: bytes = b""  # of the files by `paths`, else of the items of a list
    joint: str = "/"  # between base and path
    unit: str = ""  # what an item is, or of several files an item of each

    @property
    def whole(self) -> Source:
        return Source(*self.source)

    def digest(self, at: int) -> str | None:
        return self.digests[at * DIGEST : (at + 1) * DIGEST].hex() or None

    def at(self, keys: Keys) -> Source | None:
        """The source of a place, its path being a reference to it; None where code made it."""
        whole = self.whole
        if not keys:
            return whole
        if self.paths is None:
            path = reference(whole.path, self.unit, keys)
            return Source(path, whole.sha256, whole.size, whole.loaded, None, whole.note)
        found = self.paths.get(keys[0]) if type(keys[0]) is str else None
        if found is None:
            return None
        path = f"{self.base}{self.joint}{keys[0]}" if self.base else keys[0]
        path = reference(path, self.unit, keys[1:])
        return Source(path, self.digest(found), self.sizes[found], whole.loaded, None, whole.note)


_COMPARED = 1_000
_compared: dict[str, tuple[int, int]] = {}
"""Hash and length of texts that were found to be what a file holds, by its digest."""
_entries: dict[str, tuple[Any, ...]] = table("sources")
"""By the name of the variable: the fields of an `_Entry`."""


def _find(name: str) -> _Entry | None:
    """What is known of a variable, if it still holds what was loaded."""
    row = _entries.get(name)
    if row is None:
        return None
    entry = _Entry(*row)
    if id(namespace().get(name, _entries)) != entry.number:
        del _entries[name]
        return None
    return entry


def forget() -> None:
    """Forget variables that hold something else now: an identity is used again, but not at once."""
    with contextlib.suppress(Exception):  # guest code reaches the table and the variables
        for name in list(_entries):
            _find(name)


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


def holder_of(value: object) -> str:
    """The access path of a value that is a variable, or an item of a small loaded one; or ""."""
    name = name_of(value)
    if name is not None:
        return name
    found = _inside(value, _SMALL)
    return access_path(*found) if found is not None else ""


def remember(
    name: str,
    value: object,
    origin: dict[str, Any],
    entries: Sequence[tuple[str, int, int]],
    digests: bytes,
    contents: Contents | None = None,
) -> None:
    """Note where a variable came from.

    Args:
        name: of the variable.
        value: that it holds.
        origin: `path`, `base` (what the paths of a folder are relative to), `time`, and `note`
            and `size` where the entries do not say it.
        entries: path, offset and length of each file.
        digests: SHA-256 of each of them, one after another; empty where there are none.
        contents: what the loader noted.
    """
    size = origin.get("size")
    size = sum(length for _, _, length in entries) if type(size) is not int else size
    path, base, time, note = (
        str(origin.get(key) or "") for key in ("path", "base", "time", "note")
    )
    unit = contents.unit if contents is not None else ""
    members = contents.members if contents is not None else None
    digest = digests[:DIGEST].hex() or None

    def put(sha256: str | None, files: int | None, *more: Any) -> None:
        whole = (path, sha256, size, time, files, note)
        _entries[name] = tuple(_Entry(whole, id(value), *more)._replace(unit=unit))

    if base_of(value) is dict and origin.get("folder"):
        paths = {entry[0]: at for at, entry in enumerate(entries)}
        put(None, len(entries), base, paths, [entry[2] for entry in entries], digests)
    elif base_of(value) is dict and members is not None:
        paths = {member: at for at, member in enumerate(members)}
        sizes = [found[0] for found in members.values()]
        taken = b"".join(found[1] for found in members.values())
        shown_path = path or "a value given in the call"
        put(digest, len(members), shown_path, paths, sizes, taken, MEMBER)
    else:
        items = _item_digests(value) if unit in _DERIVED else b""
        put(digest, None, "", None, (), items)


def _item_digests(value: Any) -> bytes:
    if base_of(value) is not list:
        return b""
    return b"".join(_digest_of(item) for item in list.__iter__(value))


def _digest_of(item: Any) -> bytes:
    text = as_text(plain(item)) if is_text(item) else ""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def entry_of(name: str, keys: Keys = ()) -> Source | None:
    """The source of a variable, or of a place in it; None where code made it."""
    entry = _find(name)
    return entry.at(keys) if entry is not None else None


def unit_within(name: str) -> str:
    """What an item of each of the files in a loaded folder or archive is, or ""."""
    entry = _find(name)
    return entry.unit if entry is not None and entry.paths is not None else ""


def is_line(name: str, keys: Keys) -> bool:
    """Whether a place in a loaded variable is a line of its file."""
    entry = _find(name)
    depth = 1 if entry is None or entry.paths is None else 2
    return entry is not None and entry.unit == "line" and len(keys) == depth


def is_changed(name: str, keys: Keys, value: Any) -> bool:
    """Whether a text in a loaded variable is seen to be another than what was loaded."""
    entry = _find(name)
    if entry is None or len(keys) != 1 or not is_text(value) or len(value) > _CHECKED:
        return False
    key = keys[0]
    if entry.paths is not None:
        at = entry.paths.get(key)
        digest = entry.digest(at) if at is not None else None
        return digest is not None and not _is_of_file(value, digest)
    if entry.unit in _DERIVED and type(key) is int:
        digest = entry.digest(key)
        return digest is not None and _digest_of(value).hex() != digest
    return False


def _is_of_file(value: Any, digest: str) -> bool:
    """Whether a text is what a file holds; many places of one are cited, so that is noted."""
    text = plain(value)
    known = hash(text), len(text)  # Python keeps the hash of a text in it
    if _compared.get(digest) == known:
        return True
    same = _holds(text, digest)
    if same:
        if len(_compared) >= _COMPARED:
            del _compared[next(iter(_compared))]
        _compared[digest] = known
    return same


def _holds(text: Any, digest: str) -> bool:
    """Whether a digest is that of a text, in any of the encodings that are likely."""
    if not isinstance(text, str):
        return hashlib.sha256(text).hexdigest() == digest
    for encoding in _ENCODINGS:
        try:
            data = text.encode(encoding)
        except UnicodeEncodeError:
            continue
        if hashlib.sha256(data).hexdigest() == digest:
            return True
    return False


def exported() -> dict[str, tuple[Any, ...]]:
    """What is known of the variables that still hold what was loaded, to be pickled."""
    return {name: tuple(_entries[name]) for name in list(_entries) if _find(name) is not None}


def imported(entries: dict[str, tuple[Any, ...]]) -> None:
    """Take over what `exported` gave, for variables that have been unpickled meanwhile."""
    for name, row in entries.items():
        if name in namespace():
            _entries[name] = _Entry(*row)._replace(number=id(namespace()[name]))


def carried(target: str) -> tuple[Any, ...]:
    """What is known of a place, to go along with a copy of its value to another space."""
    place = parsed(target)
    entry = _find(place[0]) if place else None
    if place is None or entry is None:
        return ()
    _, keys = place
    if not keys:
        return tuple(entry)
    source = entry_of(*place)
    if source is None:
        return ()
    fields = (source.path, source.sha256, source.size, source.loaded, None, source.note)
    # A file of several that is copied alone still has its pages.
    unit = entry.unit if entry.paths is not None and len(keys) == 1 else ""
    return tuple(_Entry(fields, 0, unit=unit))


def accept(name: str, value: object, row: tuple[Any, ...], via: str) -> None:
    """Note where a variable came from that was copied from another space.

    Args:
        name: of the variable.
        value: that it holds.
        row: what `carried` gave there; empty where nothing is known.
        via: the place that it was copied from, as `space:OTHER/NAME`.
    """
    _entries.pop(name, None)
    if not row:
        return
    entry = _Entry(*row)
    whole = entry.whole
    note = "; ".join(filter(None, (whole.note, f"copied from {via}")))
    fields = (whole.path, whole.sha256, whole.size, whole.loaded, whole.files, note)
    _entries[name] = tuple(entry._replace(source=fields, number=id(value)))


def source_of(what: Any) -> Source | None:
    """Where something came from: path or URL, SHA-256, size and time; None if code made it.

    Takes a variable's name, an access path such as `'docs["src/a.py"]'` or `'pages[2]'`, or the
    value itself.
    """
    place = place_of(what)
    if place is None:
        return source_of_view(what) if is_view(what) else None
    value = value_at(*place)
    return source_of_view(value, *place) if is_view(value) else entry_of(*place)


def source_of_view(view: FileView, name: str = "", keys: Keys = ()) -> Source:
    """Where a view is from; it knows that itself, also where it is a part of another."""
    entry = entry_of(name, keys) if name else None
    note = f"as changed {view.modified}, not read as a whole" if view.modified else ""
    return Source(view.name, None, view.file_size, entry.loaded if entry else "", None, note)


def place_of(what: Any) -> tuple[str, Keys] | None:
    """The variable and the keys in it that a name, an access path or a value means."""
    if type(what) is str and len(what) <= 2_000 and (found := parsed(what)):
        name, keys = found
        if name in namespace():
            value = resolve(what, namespace())
            if type(value) is FunctionType or type(value) is ModuleType:
                raise PeekError(f"{name!r} is no variable with data")
            return name, _counted_from_begin(name, keys)
    name_found = name_of(what)
    if name_found is not None:
        return name_found, ()
    return _inside(what, _LARGE) if base_of(what) is None or length_of(what) else None


def value_at(name: str, keys: Keys) -> Any:
    """The value at a place.

    Raises:
        ValueError: there is nothing any more.
    """
    if name not in namespace():
        raise ValueError(f"there is no variable {name!r} any more")
    value: Any = namespace()[name]
    for at, key in enumerate(keys):
        try:
            value = _item(value, key)
        except (KeyError, IndexError, TypeError):
            path = access_path(name, keys[:at])
            raise ValueError(f"{path} has nothing at {key!r:.200} any more") from None
    return value


def _item(value: Any, key: Any) -> Any:
    base: Any = base_of(value)
    if base is list and type(key) is range:
        found = list.__getitem__(value, slice(key.start, key.stop))
        return "\n".join(as_text(plain(item)) for item in found if is_text(item))
    if base in (dict, list, tuple):
        return base.__getitem__(value, key)
    if type(key) is int and table_kind(value) in ("frame", "series"):
        return value.iloc[key]
    return guarded(lambda: value[key])


def _counted_from_begin(name: str, keys: Keys) -> Keys:
    """Keys with indexes from the end turned into those from the beginning."""
    done: list[Any] = []
    for key in keys:
        held = value_at(name, tuple(done))
        size = length_of(held) if base_of(held) in (list, tuple) else None
        done.append(key + size if type(key) is int and key < 0 and size else key)
    return tuple(done)


def _inside(value: object, most: int) -> tuple[str, Keys] | None:
    """The place of a value among the items of loaded variables of at most some size."""
    for name in list(_entries):
        held: Any = namespace().get(name)
        base: Any = base_of(held)
        if base not in (dict, list) or (length_of(held) or 0) > most or _find(name) is None:
            continue
        for key, item in dict.items(held) if base is dict else enumerate(list.__iter__(held)):
            if item is value and type(key) in (str, int):
                return name, (key,)
    return None
