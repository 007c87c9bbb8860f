"""Decompression of zstd, for which the guest has no library."""

from __future__ import annotations

import os

import zstandard

from ._inside import write_all

_CHUNK = 1 << 20
_FREE = 64 << 20
_MAX_RATIO = 1_000
"""As in the guest (`rlm_guest._bounds`)."""
_MAX_WINDOW = 128 << 20
"""Of `zstd --long`; a header may ask for gigabytes."""


def decompress(source: int, target: int, limit: int) -> list[str]:
    """Decompress all frames of a file.

    Args:
        source: descriptor of the file.
        target: descriptor of what is written.
        limit: the most bytes to write.

    Raises:
        ValueError: it would become too large, or is damaged.
    """
    size = os.lseek(source, 0, os.SEEK_END)  # fstat needs a call that is forbidden here
    os.lseek(source, 0, os.SEEK_SET)
    done = 0
    context = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW)
    with os.fdopen(os.dup(source), "rb") as file:
        reader = context.stream_reader(file, read_across_frames=True)
        while data := reader.read(_CHUNK):
            done += len(data)
            if done > limit:
                raise ValueError(f"it becomes over {limit:,} bytes, which is what fits")
            if done > _FREE and done > size * _MAX_RATIO:
                raise ValueError(f"it looks like an archive bomb: {size:,} bytes become {done:,}")
            write_all(target, data)
    if not whole(source, size):
        raise ValueError(f"it is cut short after {done:,} bytes")
    return []


def whole(source: int, size: int) -> bool:
    """Whether the last frame of a file comes to its end."""
    context = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW)
    decoder = context.decompressobj()
    at = 0
    while at < size:
        data = os.pread(source, _CHUNK, at)
        if not data:
            return False
        at += len(data)
        while data:
            decoder.decompress(data)
            if not decoder.eof:
                break
            data = decoder.unused_data
            decoder = context.decompressobj() if data or at < size else decoder
    return bool(decoder.eof)
