"""Sub-LLM calls that one event loop waits for: all of them wait in one call to the host.

Each has a ticket. What is new, what is no longer wanted, and how long to wait goes to the server
together; what is done comes back together.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from typing import Any

from . import _door

POLL_S = 0.005
"""While tasks are busy the server is asked this often, so that their own time goes to them."""
SEND_AT = 100
"""New calls that are not kept until the loop waits: the server makes so many at a time, so it can
begin while tasks are still being started."""
MAX_OUT = 2_000
"""Calls that the server is told of at once; the others wait here (it makes 100 at a time)."""
MAX_OUT_BYTES = 32 << 20
"""Of the requests of those calls. One message to the server may have 64 MB."""


class Calls:
    """The sub-LLM calls of one event loop."""

    def __init__(self) -> None:
        self._owner = ""
        self._last = 0
        self._told = 0.0
        self._unsent: dict[int, bytes] = {}
        self._out: dict[int, int] = {}
        self._unwanted: list[int] = []
        self._futures: dict[int, asyncio.Future[dict[str, Any]]] = {}

    @property
    def any(self) -> bool:
        """Whether there is something to tell the server or to wait for."""
        return bool(self._unsent or self._out or self._unwanted)

    @property
    def untouched(self) -> bool:
        """Whether nothing was asked since `forget`."""
        return not (self._owner or self.any)

    async def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Have the server make a call; return what it says of it.

        Raises:
            HostError: the server refused.
        """
        self._last += 1
        ticket = self._last
        self._unsent[ticket] = json.dumps({"ticket": ticket, "request": request}).encode()
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._futures[ticket] = future
        try:
            if len(self._unsent) % SEND_AT == 0:
                self._tell(self._take(), 0)
            return await future
        finally:
            if self._futures.pop(ticket, None) is not None:  # cancelled before it was answered
                self._unsent.pop(ticket, None)
                if self._out.pop(ticket, None) is not None:
                    self._unwanted.append(ticket)

    def wait(self, timeout: float | None) -> None:
        """Wait until some calls are done and hand out their answers.

        Args:
            timeout: the longest to wait, in seconds; `None` for as long as it takes.
        """
        if timeout == 0 and time.monotonic() - self._told < POLL_S:
            return
        self._tell(self._take(), timeout)

    def forget(self) -> None:
        """Let go of everything. The server is not told: it ends calls with the execution."""
        self._owner = ""
        for waiting in (self._unsent, self._out, self._unwanted, self._futures):
            waiting.clear()

    def close(self) -> None:
        """Tell the server that no call is wanted any more, and let go of them."""
        self._unwanted += self._out
        if self._unwanted:
            self._tell({}, 0)
        self.forget()

    def _take(self) -> dict[int, bytes]:
        """The requests that may be sent now."""
        room = MAX_OUT_BYTES - sum(self._out.values())
        taken: dict[int, bytes] = {}
        for ticket, data in self._unsent.items():
            room -= len(data)
            alone = not self._out and not taken
            if len(self._out) + len(taken) >= MAX_OUT or (room < 0 and not alone):
                break
            taken[ticket] = data
        for ticket, data in taken.items():
            del self._unsent[ticket]
            self._out[ticket] = len(data)
        return taken

    def _tell(self, sent: dict[int, bytes], timeout: float | None) -> None:
        # Forks of a pmap ask the same server at once, and begin as copies of one memory.
        self._owner = self._owner or os.urandom(8).hex()
        unwanted, self._unwanted = self._unwanted, []
        head = {"op": "sub_llm_wait", "owner": self._owner, "timeout": timeout, "cancel": unwanted}
        message = json.dumps(head).encode()[:-1] + b', "new": [' + b", ".join(sent.values()) + b"]}"
        try:
            done = _door.send(message)["done"]
        except _door.HostError as error:
            self._fail(list(sent or self._out), str(error))
            return
        finally:
            self._told = time.monotonic()
        for result in done:
            ticket = result["ticket"]
            self._out.pop(ticket, None)
            future = self._futures.pop(ticket, None)
            if future is not None and not future.done():
                future.set_result(result)
        if not done and timeout is None:  # what it does not know it would never answer
            self._fail(list(self._out), "the server no longer makes this call; run it again")

    def _fail(self, tickets: list[int], why: str) -> None:
        for ticket in tickets:
            self._out.pop(ticket, None)
            future = self._futures.pop(ticket, None)
            if future is not None and not future.done():
                future.set_exception(_door.HostError(why))


def calls() -> Calls:
    """The calls of the event loop that runs.

    Raises:
        RuntimeError: none runs, or it is of another kind.
    """
    found = getattr(asyncio.get_running_loop(), "calls", None)
    if not isinstance(found, Calls):
        raise RuntimeError("asub_llm works in the event loop of this sandbox only")
    return found
