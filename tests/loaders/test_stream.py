"""What comes through a pipe becomes a bundle, within a bound."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from rlm_mcp.errors import SourceError
from rlm_mcp.loaders import Spool, from_stream


@contextlib.contextmanager
def piped(data: bytes) -> Iterator[int]:
    """The end of a pipe through which some bytes come."""
    reader, writer = os.pipe()
    feeding = threading.Thread(target=_feed, args=(writer, data))
    feeding.start()
    try:
        yield reader
    finally:
        os.close(reader)
        feeding.join()


def _feed(writer: int, data: bytes) -> None:
    with contextlib.suppress(BrokenPipeError), open(writer, "wb", buffering=0) as pipe:
        pipe.write(data)


def test_a_pipe_is_read_to_its_end() -> None:
    with (
        piped(b"x" * 5000) as reader,
        from_stream(reader, max_bytes=10_000, name="log.jsonl") as bundle,
    ):
        assert os.pread(bundle.fd, 9000, 0) == b"x" * 5000
        assert bundle.entries == [("log.jsonl", 0, 5000)]
        assert bundle.hint == "log.jsonl"


def test_a_pipe_that_gives_more_than_fits_is_refused() -> None:
    with piped(b"x" * 5000) as reader, pytest.raises(SourceError, match="over 4,000 bytes"):
        from_stream(reader, max_bytes=4000)


def test_what_is_larger_than_memory_goes_to_a_file_and_becomes_a_view(tmp_path: Path) -> None:
    text = b"a line of text\n" * 100_000
    spool = Spool(tmp_path / "piped", above=100_000)
    with piped(text) as reader, from_stream(reader, max_bytes=500_000, spool=spool) as bundle:
        assert bundle.kind == "view"
        assert bundle.origin.path == "standard input"
        assert Path(bundle.path).read_bytes() == text
        assert Path(bundle.path).stat().st_mode & 0o077 == 0
    with (
        piped(b"small") as reader,
        from_stream(reader, max_bytes=500_000, spool=spool, format="view") as bundle,
    ):
        assert Path(bundle.path).read_bytes() == b"small"


def test_what_has_to_be_loaded_leaves_no_file_behind(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "piped", above=1000)
    for data, format in ((b"PK\0\3" * 1000, "auto"), (b"[1]" + b" " * 5000, "json")):
        with (
            piped(data) as reader,
            from_stream(reader, max_bytes=9000, spool=spool, format=format) as bundle,
        ):
            assert bundle.kind == "file"
            assert os.pread(bundle.fd, 9000, 0) == data
    with piped(data) as reader, pytest.raises(SourceError, match="over 2,000 bytes"):
        from_stream(reader, max_bytes=2000, spool=spool, format="json")
    assert list((tmp_path / "piped").iterdir()) == []


def test_the_disk_is_not_filled(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "piped", above=1000, free_bytes=1 << 60)
    with piped(b"x" * 5000) as reader, pytest.raises(SourceError, match="larger than the disk"):
        from_stream(reader, max_bytes=9000, spool=spool)
    assert list((tmp_path / "piped").iterdir()) == []


def test_a_pipe_that_gives_nothing_or_is_none_is_an_error(tmp_path: Path) -> None:
    with piped(b"") as reader, pytest.raises(SourceError, match="standard input is empty"):
        from_stream(reader, max_bytes=9000)
    folder = os.open(tmp_path, os.O_RDONLY)
    with pytest.raises(SourceError, match="cannot be read: Is a directory"):
        from_stream(folder, max_bytes=9000)
    os.close(folder)


def test_reading_a_pipe_can_be_given_up() -> None:
    reader, writer = os.pipe()  # whose other side neither says anything nor ends
    with pytest.raises(SourceError, match="given up"):
        from_stream(reader, max_bytes=9000, stopped=iter([False, True]).__next__)
    os.close(reader)
    os.close(writer)
