"""What guest code asks about texts of code: read as an attacker's, answered by a helper."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from ..errors import BadRequestError
from ..helpers._languages import LANGUAGES
from ..helpers._process import run_helper

MAX_TEXTS, MAX_CHARS = 5_000, 16 << 20
"""Of one call; the guest sends less."""
MAX_FAILURES = 4
"""Texts that may end their helper before the rest of a call is given up."""
AT_ONCE = 2
"""Helpers that parse at the same time; further calls wait (a guess: they are busy all the time)."""
SECONDS = 60.0
"""The longest that a helper may run: its input is bounded, and takes some seconds."""
MAX_OUTPUT = 48 << 20
"""Bytes that a helper hands in; with what JSON adds they still fit into a message to a guest."""
IDLE_SECONDS = 15.0
"""For one text: three times what a helper allows itself, since the machine may be busy."""


async def find_symbols(free: asyncio.Semaphore, fields: dict[str, Any]) -> dict[str, Any]:
    """Answer the operation `symbols`.

    Args:
        free: bounds how many helpers parse at the same time.
        fields: `files`, a list of `[language, text]`.

    Returns:
        `rows`: for each text a JSON object as the helper wrote it, which is not looked at here.

    Raises:
        BadRequestError: the fields are not as they should be.
    """
    files = fields.get("files")
    if not isinstance(files, list) or not 0 < len(files) <= MAX_TEXTS:
        raise BadRequestError(f"symbols wants 1 to {MAX_TEXTS:,} texts in a call")
    size = 0
    for file in files:
        if not isinstance(file, list) or len(file) != 2 or not all(type(x) is str for x in file):
            raise BadRequestError("symbols wants a list of [language, text]")
        language, text = file
        if language not in LANGUAGES:
            raise BadRequestError(f"there is no language {language[:40]!r}")
        size += len(text)
    if size > MAX_CHARS:
        raise BadRequestError(f"symbols wants at most {MAX_CHARS:,} characters in a call")
    rows: list[str] = []
    for _ in range(MAX_FAILURES):
        left = files[len(rows) :]
        if not left:
            break
        rows += await _some(free, left)
    return {
        "rows": rows + [_problem("not read: the texts before it failed")] * (len(files) - len(rows))
    }


async def _some(free: asyncio.Semaphore, files: list[list[str]]) -> list[str]:
    """The rows of the first texts; of one that ends the helper, a row that says so."""
    data = await asyncio.to_thread(lambda: json.dumps(files).encode())
    languages = sorted({language for language, _ in files})
    async with free:
        output = await run_helper(
            "symbols",
            languages,
            data=data,
            seconds=SECONDS,
            idle_seconds=IDLE_SECONDS,
            max_output=MAX_OUTPUT,
        )
    lines = output.data.split(b"\n")[:-1][: len(files)]
    rows = [line.decode("ascii", "replace") for line in lines]
    if len(rows) < len(files):
        rows.append(_problem(f"cannot be parsed: {output.failure or 'the helper left it out'}"))
    return rows


def _problem(text: str) -> str:
    return json.dumps({"e": text})
