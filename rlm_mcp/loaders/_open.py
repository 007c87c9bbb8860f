"""The one way in: from what the caller named to an open bundle."""

from __future__ import annotations

import os
import stat
from typing import Literal, get_args

from ..errors import BadRequestError, SourceError
from ._address import SCHEME, public_form
from ._bundle import Bundle, Origin, file_bundle, view_bundle
from ._folder import Pack, Walk, pack_folder, take_spare
from ._ignore import rules_above
from ._pattern import Pattern, has_magic, split_glob
from ._roots import Roots

Format = Literal[
    "auto", "text", "bytes", "lines", "json", "jsonl", "csv", "tsv", "yaml", "toml", "xml", "html",
    "pdf", "docx", "pptx", "xlsx", "epub", "eml", "mbox", "ipynb", "sqlite", "parquet", "arrow",
    "folder", "view",
]  # fmt: skip
FORMATS: tuple[str, ...] = get_args(Format)
_BINARY = frozenset({"bytes", "pdf", "docx", "pptx", "xlsx", "epub", "eml", "mbox", "sqlite"})
"""Formats for which the files of a folder that are not text are kept."""
_VIEWED = ("auto", "text", "bytes", "lines", "jsonl", "csv", "tsv", "view")
"""Formats of which a view can take the place."""
_HEAD_BYTES = 8192
"""In which text has no NUL, and what is compressed nearly always has one."""


def open_source(
    source: str,
    roots: Roots,
    *,
    format: str = "auto",
    pattern: str | None = None,
    max_bytes: int,
    view_bytes: int | None = None,
) -> Bundle:
    """Open a file, a folder or a glob.

    The files of a folder come with their paths relative to it, those of a glob relative to the
    folder before its first wildcard.

    Args:
        source: a path, or a glob.
        roots: what may be read.
        format: one of `FORMATS`; with those of binary files a folder's are kept.
        pattern: which files of a folder or an archive.
        max_bytes: how much may be loaded.
        view_bytes: the size above which a file whose format is left open becomes a view, as does
            one that cannot be loaded; without it there are no views.

    Raises:
        BadRequestError: an argument cannot be used.
        SourceError: the source is missing, outside of the roots, unreadable, empty or too large.
    """
    if format not in FORMATS:
        raise BadRequestError(f"There is no format {format!r}. Formats: {', '.join(FORMATS)}.")
    _check_scheme(source)
    literal = not has_magic(source) or roots.exists(source)
    if not literal:
        if pattern is not None:
            raise BadRequestError(
                f"{source!r} has wildcards already: put pattern={pattern!r} into it, or name a "
                "folder as the source."
            )
        base, below = split_glob(source)
        _refuse_view(format)
        # In a glob, as opposed to pattern=, a name without a slash means its folder alone.
        return _open_folder(source, base, roots, format, Pattern("./" + below), max_bytes)
    fd, info = roots.open(source)
    if stat.S_ISDIR(info.st_mode):
        os.close(fd)
        _refuse_view(format)
        chosen = Pattern(pattern) if pattern is not None else None
        return _open_folder(source, source, roots, format, chosen, max_bytes)
    if pattern is None and stays_outside(fd, info.st_size, format, max_bytes, view_bytes):
        return view_bundle(fd, info, source, roots.resolve(source).real)
    if info.st_size <= max_bytes:
        bundle = file_bundle(fd, info, source)
        bundle.pattern = pattern
        return bundle
    os.close(fd)
    raise SourceError(
        f"{source!r} has {info.st_size:,} bytes; at most {max_bytes:,} fit into this space. Load a "
        "part of it that was cut out into a file, look at it with format='view', or give the space "
        "more (RLM_MCP_MEMORY_MB)."
    )


def stays_outside(fd: int, size: int, format: str, max_bytes: int, view_bytes: int | None) -> bool:
    """Whether an open file is to become a view: see `open_source`."""
    if view_bytes is None or format not in _VIEWED:
        return False
    if format == "view" or size > max_bytes:
        return True
    if format != "auto" or size <= view_bytes:
        return False
    # Archives, documents and databases are of use only as what they hold.
    head = os.pread(fd, _HEAD_BYTES, 0)
    return b"\0" not in head and not head.startswith(b"%PDF")


def _refuse_view(format: str) -> None:
    if format == "view":
        raise BadRequestError("A view is of one file: name a file, or leave format= out.")


def _check_scheme(source: str) -> None:
    supported = "Files, folders and globs under an allowed folder, and http(s) can be loaded."
    if source.startswith("file://"):
        raise BadRequestError(f"Name the path itself, not a file:// address. {supported}")
    if SCHEME.match(source):
        raise SourceError(f"{public_form(source)!r} is an address of another kind. {supported}")
    if source.startswith("space:"):
        raise SourceError(f"A variable of another space is no file. {supported}")


def _open_folder(
    source: str, base: str, roots: Roots, format: str, pattern: Pattern | None, max_bytes: int
) -> Bundle:
    place = roots.resolve(base)
    folder = roots.open_folder(base)
    try:
        walk = Walk(
            real=place.real,
            named=source,
            max_bytes=max_bytes,
            pattern=pattern,
            rules=rules_above(place.real, place.start),
            keep_binary=format in _BINARY,
        )
        pack = pack_folder(folder, walk)
        try:
            notes = []
            if not pack.entries and pack.spare:
                take_spare(folder, walk, pack)
                notes.append("Every file that matches is ignored by .gitignore; loaded anyway.")
            if not pack.entries:
                raise SourceError(_nothing(source, pattern, pack))
            mtime = os.fstat(folder).st_mtime
        except BaseException:
            os.close(pack.fd)
            raise
    finally:
        os.close(folder)
    if pack.changed:
        notes.append(f"{pack.changed:,} files changed while they were read.")
    for reason, paths in pack.examples.items():
        if reason != "binary":
            more = pack.skipped[reason] - len(paths)
            notes.append(f"{reason}: {', '.join(paths)}" + (f" and {more:,} more" if more else ""))
    skipped = {reason: count for reason, count in sorted(pack.skipped.items()) if count}
    return Bundle(
        pack.fd,
        pack.entries,
        "folder",
        Origin(source, pack.size, mtime),
        skipped,
        notes,
    )


def _nothing(source: str, pattern: Pattern | None, pack: Pack) -> str:
    left_out = ", ".join(f"{count:,} {reason}" for reason, count in pack.skipped.items() if count)
    if pattern is None:
        text = f"The folder {source!r} has no files to load"
    else:
        inside = "" if has_magic(source) else f" in {source!r}"
        text = f"No file matches {pattern.text!r}{inside}"
    if not left_out:
        return f"{text}. Check the path" + (
            "; ** stands for any number of folders." if pattern is not None else "."
        )
    hint = "To load binary files, say format='bytes'. " if pack.skipped["binary"] else ""
    return f"{text} (left out: {left_out}). {hint}A file that is named alone is always loaded."
