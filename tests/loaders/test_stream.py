"""What comes through a pipe becomes a bundle, within a bound."""

from __future__ import annotations

import os

import pytest

from rlm_mcp.errors import SourceError
from rlm_mcp.loaders import from_stream


def piped(data: bytes) -> int:
    reader, writer = os.pipe()
    os.write(writer, data)
    os.close(writer)
    return reader


def test_a_pipe_is_read_to_its_end() -> None:
    reader = piped(b"x" * 5000)
    with from_stream(reader, max_bytes=10_000, name="log.jsonl") as bundle:
        assert os.pread(bundle.fd, 9000, 0) == b"x" * 5000
        assert bundle.entries == [("log.jsonl", 0, 5000)]
        assert bundle.hint == "log.jsonl"
    os.close(reader)


def test_a_pipe_that_gives_more_than_fits_is_refused() -> None:
    reader = piped(b"x" * 5000)
    with pytest.raises(SourceError, match="over 4,000 bytes"):
        from_stream(reader, max_bytes=4000)
    os.close(reader)
