"""A full disk stops commits with a clear error; what was committed stays, and room mends it."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
from collections.abc import Iterator

import pytest

from rlm_mcp.errors import StoreError
from rlm_mcp.sandbox import PAGE

from .conftest import IMAGE_PAGES, SIZE, Home


@contextlib.contextmanager
def no_file_over(size: int) -> Iterator[None]:
    """As if the disk were full when a file reaches a size (Python ignores the signal for it)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_commit_that_does_not_fit_is_an_error_and_the_next_one_works(home: Home) -> None:
    writer = home.create("main")
    first = home.write(writer, dict.fromkeys(range(20), 1))
    with pytest.raises(StoreError, match=r"disk .* full"):
        home.write(writer, dict.fromkeys(range(IMAGE_PAGES), 2), no_file_over(24 * PAGE))
    opened, memory = home.open("main")
    assert (opened.commit.id, opened.damage) == (first.id, "")
    assert memory[:21] == [1] * 20 + [0]
    (segment,) = home.segments()
    assert segment.stat().st_size == 20 * PAGE
    home.write(writer, dict.fromkeys(range(IMAGE_PAGES), 3))
    home.reopen()
    opened, memory = home.open("main")
    assert (memory, opened.damage) == ([3] * IMAGE_PAGES, "")


def test_a_new_space_that_does_not_fit_leaves_nothing_behind(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EXDEV, "the image lies on another disk")

    monkeypatch.setattr(os, "link", refuse)
    home.image.write_bytes(b"x" * SIZE)  # holes would need no room
    with no_file_over(SIZE // 2), pytest.raises(StoreError, match=r"disk .* full"):
        home.create("main")
    assert home.store.space("main") is None
    assert [path.name for path in (home.folder / "pages").iterdir()] == []
