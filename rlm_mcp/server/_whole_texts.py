"""Messages that hold half of a character: read all the same, so that they are answered.

JSON can name half of a surrogate pair (`"\\ud800"`), which is no character. The SDK cannot read a
message that does, and says nothing; its sender would wait without end.
"""

from __future__ import annotations

import json
from types import TracebackType
from typing import Any, Self

from mcp.shared._stream_protocols import ReadStream
from mcp.shared.message import SessionMessage
from mcp_types import jsonrpc_message_adapter
from pydantic import ValidationError


class WholeTexts:
    """A stream of messages that also gives those that the SDK could not read for this.

    In them everything but the arguments of a tool has question marks instead; the arguments stay
    as they are, and are refused where they are checked.

    Args:
        messages: as the SDK reads them.
    """

    def __init__(self, messages: ReadStream[SessionMessage | Exception]) -> None:
        self._messages = messages

    async def receive(self) -> SessionMessage | Exception:
        """The next message, or why it could not be read."""
        return _read_again(await self._messages.receive())

    async def aclose(self) -> None:
        """Close it."""
        await self._messages.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SessionMessage | Exception:
        return _read_again(await self._messages.__anext__())

    async def __aenter__(self) -> Self:
        await self._messages.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        return await self._messages.__aexit__(kind, error, traceback)


def _read_again(item: SessionMessage | Exception) -> SessionMessage | Exception:
    if not isinstance(item, ValidationError):
        return item
    try:
        found: Any = json.loads(item.errors(include_url=False, include_context=False)[0]["input"])
        arguments = found["params"].pop("arguments", None)
        message = json.loads(json.dumps(found, ensure_ascii=False).encode("utf-8", "replace"))
        if arguments is not None:
            message["params"]["arguments"] = arguments
        return SessionMessage(jsonrpc_message_adapter.validate_python(message, by_name=False))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return item
