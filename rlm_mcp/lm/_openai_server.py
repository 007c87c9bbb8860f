"""A local server that speaks the OpenAI protocol, for demos and for tests of the real path.

One thread, one event loop, a callback for each request and no task: a hundred connections with a
delay of 100 ms cost it a few per cent of a core, so what is measured against it is the client.
"""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from ._openai_replies import EmbedFunction, completion, echo, embeddings, hashed

AnswerFunction = Callable[[list[dict[str, Any]]], str]

_MAX_HEAD = 64 * 1024
_MAX_BODY = 512 * 1024 * 1024
_BACKLOG = 1024
_LISTS = {"/v1/chat/completions": "messages", "/v1/embeddings": "input"}
_REASONS = {
    200: "OK", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found",
    405: "Method Not Allowed", 411: "Length Required", 413: "Content Too Large",
    429: "Too Many Requests", 500: "Internal Server Error", 502: "Bad Gateway",
    503: "Service Unavailable",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Failure:
    """What `LocalOpenAIServer` does to one request instead of answering it.

    Args:
        status: the HTTP status of an error reply.
        retry_after: the value of its `Retry-After` header, in seconds or as a date.
        message: the text in the error reply.
        code: OpenAI's error code in it, such as `context_length_exceeded`.
        drop: close the connection without a reply.
        broken: close it in the middle of the reply.
        malformed: answer 200 with a body that is not JSON.
    """

    status: int = 500
    retry_after: float | str | None = None
    message: str = "injected failure"
    code: str | None = None
    drop: bool = False
    broken: bool = False
    malformed: bool = False


class LocalOpenAIServer:
    """Serve `POST /v1/chat/completions`, `POST /v1/embeddings` and `GET /v1/models`.

    It is on 127.0.0.1, in a thread of its own.

    Point litellm at it with the model `openai/<any name>`, `OPENAI_BASE_URL=server.base_url` and
    any `OPENAI_API_KEY`. A context manager; `close()` may be called twice.

    Args:
        answer: gives the reply for a list of messages. It runs on the server's event loop, so it
            must not block: slowness is what `delay_s` is for. An exception becomes a 500.
        delay_s: seconds between a request and its reply, or what gives them for a list of messages;
            may be changed while it serves.
        counts: whether replies say how many tokens were used, which some servers do not.
        models: the names that `GET /v1/models` lists. Any name is answered.
        api_key: the key that a request must carry, else 401; left out, any will do.
        failures: what goes wrong with the first requests, see `fail_next`.
        embed: gives the vector of a text; runs as `answer` does.

    Attributes:
        requests: the JSON bodies of the chat requests, in order of arrival.
        embeddings: those of the requests for vectors.
        max_concurrency: the most requests that were in flight at once.
        abandoned: the requests whose client left before the reply.
    """

    def __init__(
        self,
        answer: AnswerFunction = echo,
        *,
        delay_s: float | Callable[[list[dict[str, Any]]], float] = 0.0,
        counts: bool = True,
        models: Sequence[str] = ("local-model",),
        api_key: str | None = None,
        failures: Iterable[Failure] = (),
        embed: EmbedFunction = hashed,
    ) -> None:
        self.answer = answer
        self.embed = embed
        self.delay_s = delay_s
        self.counts = counts
        self.models = tuple(models)
        self.api_key = api_key
        self.requests: list[dict[str, Any]] = []
        self.embeddings: list[dict[str, Any]] = []
        self.max_concurrency = 0
        self.abandoned = 0
        self._failures = deque(failures)
        self._in_flight: set[_Connection] = set()
        self._connections: set[_Connection] = set()
        self._changed = threading.Condition()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._port = 0

    @property
    def base_url(self) -> str:
        """The URL for `OPENAI_BASE_URL`, ending in `/v1`."""
        if self._loop is None:
            raise RuntimeError("the server is not running: use it in a `with` statement")
        return f"http://127.0.0.1:{self._port}/v1"

    @property
    def in_flight(self) -> int:
        """How many requests wait for their reply now."""
        return len(self._in_flight)

    def fail_next(self, *failures: Failure) -> None:
        """Let the next requests fail, one failure each, in this order."""
        self._failures.extend(failures)

    def wait_until(self, condition: Callable[[LocalOpenAIServer], bool], timeout_s: float) -> bool:
        """Wait, without polling, until a condition on this server holds; False at the time-out."""
        with self._changed:
            return self._changed.wait_for(lambda: condition(self), timeout_s)

    def start(self) -> None:
        """Bind a free port and serve until `close`."""
        if self._loop is not None:
            raise RuntimeError("the server is running already")
        listener = socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG)
        self._port = listener.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        ready = threading.Event()
        self._thread = threading.Thread(
            target=self._serve, args=(self._loop, listener, ready), name="local-openai", daemon=True
        )
        self._thread.start()
        ready.wait()

    def close(self) -> None:
        """Stop serving and drop every connection."""
        loop, thread = self._loop, self._thread
        self._loop = self._thread = None
        if loop is None or thread is None:
            return
        loop.call_soon_threadsafe(loop.stop)
        thread.join()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _serve(
        self, loop: asyncio.AbstractEventLoop, listener: socket.socket, ready: threading.Event
    ) -> None:
        server = loop.run_until_complete(
            loop.create_server(lambda: _Connection(self, loop), sock=listener, backlog=_BACKLOG)
        )
        loop.call_soon(ready.set)
        try:
            loop.run_forever()
            server.close()
            for connection in list(self._connections):
                connection.abort()
            loop.run_until_complete(server.wait_closed())
            loop.run_until_complete(asyncio.sleep(0))
        finally:
            loop.close()

    # Below: called by connections, on the loop's thread.

    def _began(self, connection: _Connection, body: dict[str, Any]) -> Failure | None:
        with self._changed:
            (self.embeddings if "input" in body else self.requests).append(body)
            self._in_flight.add(connection)
            self.max_concurrency = max(self.max_concurrency, len(self._in_flight))
            failure = self._failures.popleft() if self._failures else None
            self._changed.notify_all()
        return failure

    def _ended(self, connection: _Connection, *, abandoned: bool = False) -> None:
        with self._changed:
            self._in_flight.discard(connection)
            self.abandoned += abandoned
            self._changed.notify_all()


class _Connection(asyncio.Protocol):
    """HTTP/1.1 with keep-alive on one connection, one request at a time."""

    def __init__(self, server: LocalOpenAIServer, loop: asyncio.AbstractEventLoop) -> None:
        self._server = server
        self._loop = loop
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._busy = False
        self._counted = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._server._connections.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._server._connections.discard(self)
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()
        if self._counted:
            self._counted = False
            self._server._ended(self, abandoned=True)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._busy:
            self._next_request()

    def _next_request(self) -> None:
        end = self._buffer.find(b"\r\n\r\n", 0, _MAX_HEAD)
        if end < 0:
            if len(self._buffer) >= _MAX_HEAD:
                self._error(400, "the head of the request is too long", close=True)
            return
        lines = bytes(self._buffer[:end]).decode("latin-1").split("\r\n")
        headers = {
            name.strip().lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines[1:])
        }
        if "transfer-encoding" in headers:
            self._error(411, "send Content-Length, not chunks", close=True)
            return
        length = headers.get("content-length", "0")
        if not length.isascii() or not length.isdigit() or int(length) > _MAX_BODY:
            self._error(413, "no usable Content-Length", close=True)
            return
        start = end + 4
        if len(self._buffer) < start + int(length):
            return
        body = bytes(self._buffer[start : start + int(length)])
        del self._buffer[: start + int(length)]
        self._busy = True
        self._route(lines[0], headers, body)

    def _route(self, first_line: str, headers: dict[str, str], body: bytes) -> None:
        method, _, rest = first_line.partition(" ")
        path = rest.partition(" ")[0].partition("?")[0]
        given = headers.get("authorization", "").removeprefix("Bearer ").strip()
        if self._server.api_key is not None and given != self._server.api_key:
            # As OpenAI does, the reply repeats the key: clients must not pass that on.
            message = f"Incorrect API key provided: {given}."
            self._error(401, message, code="invalid_api_key")
        elif path == "/v1/models" and method == "GET":
            models = [{"id": name, "object": "model"} for name in self._server.models]
            self._send(200, {"object": "list", "data": models})
        elif path not in _LISTS:
            self._error(404, f"there is no {path} here")
        elif method != "POST":
            self._error(405, f"POST to {path}")
        else:
            self._take(body, _LISTS[path])

    def _take(self, raw: bytes, wanted: str) -> None:
        try:
            body = json.loads(raw)
        except ValueError:
            body = None
        if not isinstance(body, dict) or not isinstance(body.get(wanted), list):
            self._error(400, f"the body must be a JSON object with a list `{wanted}`")
            return
        failure = self._server._began(self, body)
        self._counted = True
        delay = self._server.delay_s
        seconds = delay(body["messages"]) if callable(delay) else delay
        if seconds > 0:
            self._timer = self._loop.call_later(seconds, self._reply, body, failure)
        else:
            self._reply(body, failure)

    def _reply(self, body: dict[str, Any], failure: Failure | None) -> None:
        self._timer = None
        self._counted = False
        self._server._ended(self)
        if failure is not None:
            self._fail(failure)
        elif body.get("stream"):
            self._error(400, "this server does not stream")
        else:
            try:
                if "input" in body:
                    reply = embeddings(body, self._server.embed)
                else:
                    answer = self._server.answer(body["messages"])
                    reply = completion(body, answer, len(self._server.requests))
                    if not self._server.counts:
                        del reply["usage"]
            except Exception as error:  # the caller's function; its text belongs in the reply
                self._error(500, f"the answer function raised {type(error).__name__}: {error}")
                return
            self._send(200, reply)

    def _fail(self, failure: Failure) -> None:
        if failure.drop:
            self.abort()
        elif failure.broken:
            self._write(200, b'{"choices": [', (), more=100)
            if self._transport is not None:
                self._transport.close()
        elif failure.malformed:
            self._write(200, b'{"choices": [', ())
        else:
            extra: tuple[tuple[str, str], ...] = ()
            if failure.retry_after is not None:
                extra = (("Retry-After", str(failure.retry_after)),)
            self._error(failure.status, failure.message, code=failure.code, extra=extra)

    def _error(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        extra: tuple[tuple[str, str], ...] = (),
        close: bool = False,
    ) -> None:
        error = {"message": message, "type": "invalid_request_error", "param": None, "code": code}
        self._send(status, {"error": error}, extra)
        if close and self._transport is not None:
            self._transport.close()

    def _send(
        self, status: int, body: dict[str, Any], extra: tuple[tuple[str, str], ...] = ()
    ) -> None:
        self._write(status, json.dumps(body).encode(), extra)

    def _write(
        self, status: int, body: bytes, extra: tuple[tuple[str, str], ...], more: int = 0
    ) -> None:
        if self._transport is None:
            return
        lines = [f"HTTP/1.1 {status} {_REASONS.get(status, 'Error')}"]
        lines += ["Content-Type: application/json", f"Content-Length: {len(body) + more}"]
        lines += [f"{name}: {value}" for name, value in extra]
        self._transport.write("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)
        self._busy = False
        if self._buffer:
            self._next_request()
