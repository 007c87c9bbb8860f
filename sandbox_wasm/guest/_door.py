"""The guest's door to the host: one call that takes bytes and gives bytes.

The first byte says what is asked. All but `CALL` are answered by the worker; `CALL` goes on to
the server, and `IMMORTAL` is heard only while a base image is made. Results travel through here
and never through standard output, which guest code can close or imitate.
"""

from __future__ import annotations

import json
from typing import Any

import _host

REQUEST, RESULT, ARM, DISARM, READ, WRITE, WIPE, CALL, IMMORTAL = (
    b"N", b"R", b"A", b"Q", b"I", b"O", b"W", b"C", b"M",
)  # fmt: skip

raw = _host.call
_dumps, _loads = json.dumps, json.loads


class HostError(Exception):
    """The host refused a call; the text says why and what to do."""


def request() -> dict[str, Any]:
    """What this turn is to do."""
    answer: dict[str, Any] = _loads(raw(REQUEST))
    return answer


def result(value: dict[str, Any]) -> None:
    """Hand in what this turn came to."""
    raw(RESULT + _dumps(value).encode())


def answer(op: str, **fields: Any) -> dict[str, Any]:
    """What the server says to a question; see `ask`. A refusal is in the field `refused`."""
    found: dict[str, Any] = _loads(raw(CALL + _dumps({"op": op, **fields}).encode()))
    return found


def ask(op: str, **fields: Any) -> dict[str, Any]:
    """Ask the server and wait for its answer.

    Args:
        op: what is asked, such as `sub_llm`.
        fields: its arguments, which JSON can say.

    Returns:
        The answer.

    Raises:
        HostError: the server refused.
        TypeError: a field is not a value of JSON.
    """
    return send(_dumps({"op": op, **fields}).encode())


def send(message: bytes) -> dict[str, Any]:
    """Send the server a message that is JSON already, and wait for its answer.

    Raises:
        HostError: the server refused.
    """
    answer: dict[str, Any] = _loads(raw(CALL + message))
    if "refused" in answer:
        raise HostError(answer["refused"])
    return answer
