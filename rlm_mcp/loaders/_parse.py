"""Documents that a helper parses for a guest that is loading: natively, and behind walls.

The guest says which ranges of the source are to be parsed, or hands in what it unpacked itself;
it gets a file to read with what the helper made of them, which only the guest looks at.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import os
import signal
from typing import Any

from ..errors import BadRequestError, SourceError
from ..helpers._process import Output, run_helper
from ..sandbox import Handed, WithFile
from ._bundle import scratch, write_all

PARSED = ("yaml", "xlsx", "pdf")
"""Formats that are parsed like this."""
SECONDS = 300.0
"""For the files of a call together, and the processor time that a helper allows itself."""
MAX_FILES = 5_000
"""Of one call; the guest sends less."""
MAX_FAILURES = 8
"""Files that may end their helper before the rest of a call is given up."""
SLOTS = (62, 63)
"""Where a guest may have what was made: each file there may be as large as a space."""
_ERROR_CHARS = 500
_LINE_BYTES = 12 * _ERROR_CHARS + 100
"""Of what a helper says of a file: in JSON a character takes up to 12 bytes."""


async def parse(
    free: asyncio.Semaphore, source: int, size: int, fields: dict[str, Any], limit: int
) -> dict[str, Any]:
    """Answer the operation `parse` of a guest that is loading.

    Args:
        free: bounds how many helpers parse at the same time.
        source: descriptor of what is being loaded.
        size: its bytes.
        fields: `format`, one of `PARSED`; `files`, a list of offset and length in the source, or
            in `data`, base64 of what the guest unpacked, which without `files` is one file;
            `slot`, where the guest wants to read what was made.
        limit: the most bytes that may be made.

    Returns:
        `files`: for each the bytes that it takes in what was made, one after another, or a text
        that says why there are none.

    Raises:
        BadRequestError: the fields are not as they should be.
        SourceError: the helper cannot be run.
    """
    format, slot = fields.get("format"), fields.get("slot")
    if format not in PARSED or type(slot) is not int or slot not in SLOTS:
        raise BadRequestError("parse wants a format and a slot")
    given = _given(fields.get("data")) if "data" in fields else None
    if given is None or "files" in fields:
        files = _ranges(fields.get("files"), size if given is None else len(given))
    else:
        files = [(0, len(given))]
    made = scratch()
    try:
        if given is None:
            found = await _parsed(free, format, source, made, files, limit)
        else:
            unpacked = scratch()
            try:
                write_all(unpacked, memoryview(given))
                found = await _parsed(free, format, unpacked, made, files, limit)
            finally:
                os.close(unpacked)
    except BaseException:
        os.close(made)
        raise
    return WithFile({"files": found}, Handed(made, slot))


def _given(data: object) -> bytes:
    try:
        return base64.b64decode(data, validate=True) if isinstance(data, str) else b""
    except binascii.Error:
        raise BadRequestError("parse wants data in base64") from None


def _ranges(files: object, size: int) -> list[tuple[int, int]]:
    if not isinstance(files, list) or not 0 < len(files) <= MAX_FILES:
        raise BadRequestError(f"parse wants 1 to {MAX_FILES:,} files in a call")
    ranges = []
    for file in files:
        if not isinstance(file, list) or len(file) != 2 or not all(type(n) is int for n in file):
            raise BadRequestError("parse wants the offset and the length of each file")
        offset, length = file
        if not 0 <= offset <= size or not 0 <= length <= size - offset:
            raise BadRequestError("a file does not lie in the source")
        ranges.append((offset, length))
    return ranges


async def _parsed(
    free: asyncio.Semaphore,
    format: str,
    source: int,
    made: int,
    files: list[tuple[int, int]],
    limit: int,
) -> list[int | str]:
    """What became of each file; one that ends its helper costs itself and not the rest."""
    found: list[int | str] = []
    for _ in range(MAX_FAILURES):
        left = files[len(found) :]
        if not left:
            break
        done = sum(size for size in found if isinstance(size, int))
        async with free:
            os.lseek(made, done, os.SEEK_SET)
            output = await run_helper(
                "parse",
                [format, str(source), str(made), str(max(0, limit - done))],
                data=json.dumps(left).encode(),
                descriptors=(source, made),
                seconds=SECONDS,
                max_output=_LINE_BYTES * len(left),
            )
        found += _results(output, len(left), os.fstat(made).st_size - done)
    return found + ["not read: files before it failed"] * (len(files) - len(found))


def _results(output: Output, wanted: int, room: int) -> list[int | str]:
    """What a helper says of the files that it was given, read as if an attacker had written it.

    Raises:
        SourceError: the library that it needs is not installed.
    """
    found: list[int | str] = []
    for line in output.data.split(b"\n")[:-1][:wanted]:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        row = row if isinstance(row, dict) else {}
        if isinstance(missing := row.get("missing"), str):
            raise SourceError(f"the library {missing[:40]} is not installed: install rlm-mcp again")
        size, error = row.get("size"), row.get("error")
        if type(size) is int and 0 <= size <= room:
            room -= size
            found.append(size)
        else:
            found.append(
                error[:_ERROR_CHARS] if isinstance(error, str) and error else "it cannot be read"
            )
    if len(found) < wanted:
        found.append(_why(output))
    return found


def _why(output: Output) -> str:
    """Why a helper ended before it was done."""
    if output.failure == "the helper took too long" or output.status == -signal.SIGXCPU:
        return f"it takes over {SECONDS:.0f} s"
    if output.status < 0:
        return "its parser died of it: it takes more memory than there is for it, or is damaged"
    return output.failure or "the helper left it out"
