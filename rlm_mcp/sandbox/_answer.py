"""Answering the calls that a guest makes while a turn of it runs."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

from ..worker._channel import MAX_BODY
from ._clock import Clock
from ._process import Handed
from ._read import BIG_JSON, read_object

THROTTLE_AFTER, THROTTLE_SECONDS = 1000, 0.002
"""A guest that calls the server without end is slowed down, so that other spaces are not."""

Answerer = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]
"""What answers the calls that a guest makes."""


class WithFile(dict[str, Any]):
    """An answer that hands the guest an open file to read parts of.

    Args:
        fields: the answer itself.
        handed: the file; closed by whoever takes the answer.
    """

    def __init__(self, fields: dict[str, Any], handed: Handed) -> None:
        super().__init__(fields)
        self.handed = handed


async def refuse_calls(_fields: dict[str, Any]) -> dict[str, Any]:
    """The answer to a guest that asks where nothing is to be asked."""
    return {"refused": "this cannot be asked here"}


class Calls:
    """The calls of one turn.

    Args:
        answer: answers them.
        waits: operations, by the field `op`, in which the guest waits for others.
        clock: stands still during those.
    """

    def __init__(self, answer: Answerer, waits: frozenset[str], clock: Clock) -> None:
        self._answer = answer
        self._waits = waits
        self._clock = clock
        self._count = 0

    async def answer(self, body: bytes) -> tuple[bytes, Handed | None]:
        """Answer one: the answer's bytes, and a file that is handed over with it."""
        self._count += 1
        if self._count > THROTTLE_AFTER:
            await asyncio.sleep(THROTTLE_SECONDS)
        begin = time.monotonic()
        fields = await read_object(body)
        if len(body) > BIG_JSON:
            # Reading holds up the server: whoever makes it read much waits as long again.
            await asyncio.sleep(time.monotonic() - begin)
        operation = fields.get("op") if fields is not None else None
        with contextlib.ExitStack() as stack:
            if isinstance(operation, str) and operation in self._waits:
                stack.enter_context(self._clock.standing())
            reply = await self._answer(fields) if fields is not None else None
        refused = {"refused": "the call is not a JSON object, or has over a million values"}
        data = json.dumps(refused if reply is None else reply).encode()
        if len(data) > MAX_BODY:
            data = json.dumps({"refused": "the answer is over 64 MB: ask for less"}).encode()
        return data, reply.handed if isinstance(reply, WithFile) else None
