"""Views: files too large for a space, which its guest reads parts of and the host searches.

A view is known to a guest by an id that nobody can guess; which file it stands for is said in the
store. Whoever has the id may read the file, if it still lies under an allowed root and is still
what it was: both are checked each time a turn first reads it, and when it is seen to change.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import secrets
import time
from pathlib import Path
from typing import Any

from ..errors import RlmError, SourceError
from ..helpers._process import run_helper
from ..helpers.count import BLOCK
from ..loaders import Identity, Roots, difference, identify
from ..sandbox import Handed, WithFile, scratch_file
from ..store import Store, ViewRow
from ._pmap import available_cores
from ._queue import forget_result
from ._view_search import search, search_program

MAX_SLOTS = 64
MAX_PATTERN = 64 << 10
MAX_FOUND = 1 << 31
MAX_AHEAD = 64 << 30
"""Bytes of a file whose lines are counted before anyone asks: a minute of reading (a guess)."""
_ID = re.compile(r"[0-9a-f]{32}")
_KEPT_DAYS = 30
_ENTRY = 8


VIEW_OPERATIONS = ("view_open", "view_index", "view_find", "view_refresh")
"""What guest code may ask about views, by the name of the operation."""


class _ChangedError(Exception):
    """The file is no longer what the view stands for; the text is for the agent."""


class Views:
    """What guests ask about views, answered.

    Args:
        store: where it is said which files they stand for.
        roots: what may be read.
        folder: for the indexes of lines, which can be made again.
    """

    def __init__(self, store: Store, roots: Roots, folder: Path) -> None:
        self._rows = store.views
        self._piped = store.piped
        self._roots = roots
        self._folder = folder
        self._indexing: dict[str, asyncio.Task[int]] = {}
        self._searches = asyncio.Semaphore(available_cores())

    async def add(self, path: str, named: str, descriptor: int) -> ViewRow:
        """Make a view of an open file.

        Args:
            path: of the file, absolute and with links resolved.
            named: how the caller named it.
            descriptor: of the file; it stays open.

        Raises:
            SourceError: it cannot be read.
        """
        try:
            row = await asyncio.to_thread(self._pin, path, named, descriptor)
        except OSError as error:
            raise SourceError(f"{named!r} cannot be read: {error.strerror}.") from None
        return row

    async def share(self, source: str, target: str) -> None:
        """Keep what views in one space stand for as long as another is there that copied some."""
        await asyncio.to_thread(self._piped.share, source, target)

    def index_lines(self, row: ViewRow) -> None:
        """Count the lines of a view in the background, unless it is so large that only whoever
        asks for a line by number should pay for that."""
        if row.size < MAX_AHEAD:
            self._index_soon(row)

    async def answer(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Answer what guest code asks; the fields may be an attacker's.

        Returns:
            The answer; `changed` with the reason if the file is not what it was, `refused` with
            the reason if it cannot be read.
        """
        operation = {
            "view_open": self._open,
            "view_index": self._index,
            "view_find": self._find,
            "view_refresh": self._refresh,
        }[fields["op"]]
        try:
            return await operation(fields)
        except _ChangedError as error:
            return {"changed": str(error)}
        except RlmError as error:
            return {"refused": str(error)}
        except OSError as error:
            return {"refused": f"the file of the view cannot be read: {error.strerror}"}

    async def close(self) -> None:
        """Stop what goes on in the background; may be called twice."""
        tasks, self._indexing = list(self._indexing.values()), {}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # What is asked -------------------------------------------------------------------------

    async def _open(self, fields: dict[str, Any]) -> dict[str, Any]:
        slot = _number(fields, "slot", MAX_SLOTS - 1)
        _, descriptor = await asyncio.to_thread(self._row_and_file, fields)
        info = os.fstat(descriptor)
        found = {"actual": info.st_size, "mtime": info.st_mtime_ns}
        return WithFile(found, Handed(descriptor, slot))

    async def _index(self, fields: dict[str, Any]) -> dict[str, Any]:
        slot = _number(fields, "slot", MAX_SLOTS - 1)
        row, descriptor = await asyncio.to_thread(self._row_and_index, fields)
        if descriptor is None:
            await asyncio.shield(self._index_soon(row))
            _, descriptor = await asyncio.to_thread(self._row_and_index, fields)
        if descriptor is None:
            raise SourceError("the index of lines is gone again; try once more")
        return WithFile({"block": BLOCK}, Handed(descriptor, slot))

    async def _refresh(self, fields: dict[str, Any]) -> dict[str, Any]:
        row = await asyncio.to_thread(self._row, fields)
        descriptor = await asyncio.to_thread(self._opened, row)
        try:
            found = await asyncio.to_thread(difference, _identity(row), descriptor)
            new = row
            if found != "same":
                new = await asyncio.to_thread(self._pin, row.path, row.named, descriptor)
        finally:
            os.close(descriptor)
        self._index_soon(new)
        return {
            "id": new.id,
            "size": new.size,
            "modified": new.modified,
            "grown": found in ("same", "grown"),
        }

    async def _find(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Lines that match, in a file for the guest to read: `line:offset:text` as ripgrep has it.

        Line numbers and offsets count from `begin`.
        """
        row = await asyncio.to_thread(self._row, fields)
        slot = _number(fields, "slot", MAX_SLOTS - 1)
        end = _number(fields, "end", row.size)
        begin = _number(fields, "begin", end)
        most = _number(fields, "most", MAX_FOUND)
        pattern = fields.get("pattern")
        if not isinstance(pattern, str) or not _is_plain(pattern):
            return {"refused": "the pattern must be printable ASCII of at most 64 KB"}
        program = search_program()
        if program is None:
            return {"unable": "the search program is not installed"}
        descriptor = await asyncio.to_thread(self._checked, row)
        output = scratch_file()
        try:
            async with self._searches:
                part = (begin, end, row.size)
                status = await search(program, pattern, most, descriptor, output, part)
        except BaseException:
            os.close(output)
            raise
        finally:
            os.close(descriptor)
        size = os.fstat(output).st_size
        # 2 is an error, which with some output can only be that the output is full.
        if status not in (0, 1) and not size:
            os.close(output)
            return {"unable": f"the search program ended with status {status}"}
        return WithFile({"size": size, "cut": status not in (0, 1)}, Handed(output, slot))

    # Files ---------------------------------------------------------------------------------

    def _row(self, fields: dict[str, Any]) -> ViewRow:
        id = fields.get("id")
        row = self._rows.get(id) if isinstance(id, str) and _ID.fullmatch(id) else None
        if row is None:
            raise SourceError("there is no such view; load the file again with load_variable")
        return row

    def _row_and_file(self, fields: dict[str, Any]) -> tuple[ViewRow, int]:
        row = self._row(fields)
        return row, self._checked(row)

    def _row_and_index(self, fields: dict[str, Any]) -> tuple[ViewRow, int | None]:
        """The index of a view's lines, open, or `None` if it is not there yet."""
        row = self._row(fields)
        wanted = row.size // BLOCK * _ENTRY
        if not wanted:
            return row, scratch_file()
        try:
            descriptor = os.open(self._index_path(row), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return row, None
        if os.fstat(descriptor).st_size < wanted:
            os.close(descriptor)
            return row, None
        with contextlib.suppress(OSError):
            os.utime(descriptor)  # what was used is not removed
        return row, descriptor

    def _pin(self, path: str, named: str, descriptor: int) -> ViewRow:
        """The row of a file as it is now: the one it has, one grown from it, or a new one."""
        last = self._rows.newest(path)
        found = difference(_identity(last), descriptor) if last is not None else "replaced"
        if last is not None and found == "same":
            return last
        now = identify(descriptor)
        return self._rows.add(
            lineage=last.lineage if last is not None and found == "grown" else None,
            path=path,
            named=named,
            inode=now.inode,
            size=now.size,
            mtime_ns=now.mtime_ns,
            head=now.head,
            tail=now.tail,
        )

    def _opened(self, row: ViewRow) -> int:
        """Open the file of a view, if it may still be read.

        Raises:
            SourceError: it may not.
            _ChangedError: it is gone.
        """
        path = self._piped.find(row.path)
        try:
            self._roots.resolve(path)
        except RlmError:
            raise SourceError(
                f"{row.named!r} is outside of the folders that may be read now; start the server "
                "with `--allow` for its folder"
            ) from None
        try:
            return self._roots.open_file(path)
        except RlmError:
            raise _ChangedError(
                f"{row.named!r} is gone or can no longer be read: what the view stands for is "
                "lost; load another file"
            ) from None

    def _checked(self, row: ViewRow) -> int:
        """Open the file of a view, if it is still what it was.

        Raises:
            SourceError: it may not be read.
            _ChangedError: it is something else.
        """
        descriptor = self._opened(row)
        try:
            found = difference(_identity(row), descriptor)
            if found not in ("same", "grown"):
                how = "is shorter now" if found == "shorter" else f"was {found}"
                raise _ChangedError(
                    f"{row.named!r} {how} since the view was made: .refresh() takes it as it is "
                    "now; what was found before may not be there"
                )
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    # The index of lines --------------------------------------------------------------------

    def _index_path(self, row: ViewRow) -> Path:
        return self._folder / f"{row.lineage}.lines"

    def _index_soon(self, row: ViewRow) -> asyncio.Task[int]:
        """Count the lines in the background, if that is not being done."""
        task = self._indexing.get(row.id)
        if task is None or task.done():
            before = [task for task in self._indexing.values() if not task.done()]
            self._indexing = {id: task for id, task in self._indexing.items() if not task.done()}
            task = asyncio.create_task(self._make_index(row, before))
            # Whoever asks for the index hears of a failure; nobody may ask.
            task.add_done_callback(forget_result)
            self._indexing[row.id] = task
        return task

    async def _make_index(self, row: ViewRow, before: list[asyncio.Task[int]]) -> int:
        """Bring the index up to the file's size.

        Raises:
            SourceError: the lines cannot be counted.
        """
        if before:  # one at a time: they would only share the disk
            await asyncio.wait(before)
        path, end = self._index_path(row), row.size // BLOCK
        begin = await asyncio.to_thread(_entries, path)
        if begin >= end:
            return end
        part = path.with_name(f"{path.name}.{secrets.token_hex(8)}.part")
        descriptor = await asyncio.to_thread(self._checked, row)
        try:
            output = await asyncio.to_thread(_copy_index, path, part)
            try:
                arguments = [str(begin), str(end)]
                counted = await run_helper("count", arguments, source=descriptor, target=output)
                found = await asyncio.to_thread(difference, _identity(row), descriptor)
                if (
                    counted.failure
                    or found not in ("same", "grown")
                    or os.fstat(output).st_size != end * _ENTRY
                ):
                    raise SourceError("the lines of the file could not be counted; try again")
                await asyncio.to_thread(os.fsync, output)
                part.rename(path)
            finally:
                os.close(output)
        except OSError as error:
            raise SourceError(f"the lines could not be counted: {error.strerror}") from error
        finally:
            os.close(descriptor)
            part.unlink(missing_ok=True)
        await asyncio.to_thread(self._remove_old)
        return end

    def _remove_old(self) -> None:
        oldest = time.time() - _KEPT_DAYS * 86400
        for path in self._folder.iterdir():
            with contextlib.suppress(OSError):
                if path.stat().st_mtime < oldest:
                    path.unlink()


def _entries(path: Path) -> int:
    try:
        return path.stat().st_size // _ENTRY
    except OSError:
        return 0


def _copy_index(path: Path, part: Path) -> int:
    """Open a new index that begins as the old one."""
    part.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    output = os.open(part, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with contextlib.suppress(FileNotFoundError):
        os.pwrite(output, path.read_bytes(), 0)
    return output


def _identity(row: ViewRow) -> Identity:
    return Identity(row.inode, row.size, row.mtime_ns, row.head, row.tail)


def _is_plain(pattern: str) -> bool:
    return len(pattern) <= MAX_PATTERN and pattern.isascii() and pattern.isprintable()


def _number(fields: dict[str, Any], name: str, most: int) -> int:
    value = fields.get(name)
    if type(value) is not int or not 0 <= value <= most:
        raise SourceError(f"`{name}` must be a whole number from 0 to {most}")
    return value
