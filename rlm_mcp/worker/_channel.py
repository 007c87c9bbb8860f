"""Frames between the server and a worker: a JSON header, a body of bytes, and descriptors.

Each frame is `<u32 header length> <u32 body length> header body`; descriptors ride on its first
byte, and the header says how many there are. The server reads what a worker sends as if an
attacker had written it: lengths are bounded before anything is stored, and a frame that is not
a JSON object ends the connection.
"""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections import deque
from typing import Any

PREFIX = struct.Struct("<II")
MAX_HEADER = 64 << 10
MAX_BODY = 64 << 20
"""Bytes of one frame; what is larger goes through a descriptor."""
MAX_DESCRIPTORS = 200
"""On one frame; the kernel takes 253."""

Header = dict[str, Any]


class ChannelError(Exception):
    """The other side broke the rules of the channel, or is gone."""


def encode(header: Header, body: bytes | memoryview = b"", descriptors: int = 0) -> bytes:
    """The beginning of a frame, all but its body."""
    if descriptors:
        header = {**header, "fds": descriptors}
    data = json.dumps(header).encode()
    if len(data) > MAX_HEADER or len(body) > MAX_BODY:
        raise ChannelError(f"a frame of {len(data)} + {len(body)} bytes is too large")
    return PREFIX.pack(len(data), len(body)) + data


def decode_prefix(data: bytes) -> tuple[int, int]:
    """Lengths of the header and of the body.

    Raises:
        ChannelError: they are over the limits.
    """
    header, body = PREFIX.unpack(data)
    if not 2 <= header <= MAX_HEADER or body > MAX_BODY:
        raise ChannelError(f"a frame of {header} + {body} bytes is out of bounds")
    return header, body


def decode_header(data: bytes) -> Header:
    """The header of a frame.

    Raises:
        ChannelError: it is not a JSON object.
    """
    try:
        header = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ChannelError("the header of a frame is not JSON") from error
    if not isinstance(header, dict):
        raise ChannelError("the header of a frame is not an object")
    return header


class WorkerChannel:
    """The worker's end: blocking, one reader, writers of any thread.

    Args:
        connection: the socket that the worker was started with.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._write_lock = threading.Lock()
        self._data = bytearray()
        self._descriptors: deque[int] = deque()

    def send(self, header: Header, body: bytes = b"") -> None:
        """Send a frame.

        Raises:
            OSError: the server is gone.
        """
        start = encode(header, body)
        with self._write_lock:
            self._socket.sendall(start + body if len(body) < 65536 else start)
            if len(body) >= 65536:
                self._socket.sendall(body)

    def receive(self) -> tuple[Header, bytes, list[int]]:
        """The next frame, with its descriptors.

        Raises:
            EOFError: the server is gone.
        """
        header_length, body_length = decode_prefix(self._take(PREFIX.size))
        header = decode_header(self._take(header_length))
        body = self._take(body_length)
        count = int(header.get("fds", 0))
        return header, body, [self._descriptors.popleft() for _ in range(count)]

    def _take(self, length: int) -> bytes:
        while len(self._data) < length:
            want = max(65536, length - len(self._data))
            data, descriptors, _flags, _address = socket.recv_fds(
                self._socket, min(want, 1 << 20), MAX_DESCRIPTORS
            )
            self._descriptors.extend(descriptors)
            if not data:
                raise EOFError("the server is gone")
            self._data += data
        taken = bytes(self._data[:length])
        del self._data[:length]
        return taken
