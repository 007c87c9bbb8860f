"""Reading JSON that a worker sent: bounded before it is parsed, since it may be an attacker's.

Parsing holds up the whole server, and 60 MB of empty lists take ten seconds and 2 GB (measured
on 2 cores). Long texts are cheap; what costs is the number of values, so those are counted.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
from typing import Any

BIG_JSON = 1 << 18
"""Bytes above which parsing leaves the event loop."""
MAX_VALUES = 1 << 20
"""Values in one message: 100,000 items or 10,000 requests need a tenth of it (a guess)."""
# Each match is a string, which may lack its end, or what stands between two values. It always
# goes forward, so it is linear in whatever it is given.
_TOKEN = re.compile(rb'[^"\[{,]*+(?:"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[{,])', re.DOTALL)


async def read_object(data: bytes) -> dict[str, Any] | None:
    """A JSON object that a worker sent, or `None` if it is none or holds too many values."""
    big = len(data) > BIG_JSON
    return await asyncio.to_thread(_read, data) if big else _read(data)


def _read(data: bytes) -> dict[str, Any] | None:
    if is_too_fine(data):
        return None
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def is_too_fine(data: bytes) -> bool:
    """Whether JSON holds so many values that parsing it would hold up the server."""
    if len(data) <= MAX_VALUES:
        return False
    # Most large messages are a few texts, and then this is all that is looked at.
    if sum(data.count(mark) for mark in (b",", b"[", b"{")) <= MAX_VALUES:
        return False
    found = itertools.islice(_TOKEN.finditer(data), 2 * MAX_VALUES + 1)
    return sum(1 for _ in found) > 2 * MAX_VALUES


def text_of(value: object, limit: int) -> str:
    """The beginning of a text that a worker sent; what is no text is left out."""
    return value[:limit] if isinstance(value, str) else ""
