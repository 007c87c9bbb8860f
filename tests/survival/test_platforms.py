"""Where the kernel tells less or pages are larger, the same things hold."""

from __future__ import annotations

import errno
import mmap
import os
from collections.abc import Iterator
from ctypes import addressof, c_char
from pathlib import Path

import pytest

from rlm_mcp.sandbox import PAGE, Cache, Preparation
from rlm_mcp.settings import Settings
from rlm_mcp.space import Spaces
from rlm_mcp.store import Store
from rlm_mcp.worker import _memory, _pages
from rlm_mcp.worker._layout import Layout, Run
from rlm_mcp.worker._memory import Memory

pytestmark = pytest.mark.anyio


async def test_commits_are_the_same_where_all_pages_are_compared(settings: Settings) -> None:
    preparation = Preparation(Cache(settings.cache), compare_pages=True)
    spaces = Spaces(Store(settings.home), preparation, settings.limits)
    space = await spaces.use("main", create=True)
    for code in ("text = 'x' * 5_000_000", "rows = [{'n': n} for n in range(10_000)]", "n = 1"):
        assert not (await space.execute(code, timeout_s=60, keep_chars=10)).failed
    await space.settled()
    history = spaces.store.history("main")
    assert history[0].pages < 1000, "a small execution makes a small commit"
    assert history[2].pages > 1200, "and a large one a large commit"
    await space.unload()
    after = await space.execute(
        "len(text), sum(r['n'] for r in rows), n", timeout_s=60, keep_chars=9
    )
    assert after.value == "(5000000, 49995000, 1)"
    await space.move_to(history[2].id)
    gone = await space.execute("'rows' in globals()", timeout_s=60, keep_chars=10)
    assert gone.value == "False"
    await spaces.close_all()
    await preparation.close()


def pages(count: int) -> c_char:
    """Pages of this process, aligned as a memory is; they live as long as the result."""
    return c_char.from_buffer(mmap.mmap(-1, count * PAGE))


@pytest.fixture
def memory() -> Iterator[Memory]:
    """Sixteen pages of this process, taken for a guest's memory."""
    held = pages(16)
    yield Memory(addressof(held), lambda: 16 * PAGE)


def test_files_are_copied_where_they_cannot_be_mapped(
    memory: Memory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_memory, "HOST_PAGE", 4 * PAGE)
    file = tmp_path / "pages"
    file.write_bytes(b"".join(bytes([n]) * PAGE for n in range(8)))
    descriptor = os.open(file, os.O_RDONLY)
    memory.map_file(descriptor, 3 * PAGE, 5 * PAGE, 2 * PAGE)
    os.close(descriptor)
    assert memory.read(5 * PAGE, 2 * PAGE) == bytes([3]) * PAGE + bytes([4]) * PAGE
    assert memory.read(4 * PAGE, PAGE) == bytes(PAGE)


@pytest.mark.parametrize("at_once", [1, 512])
def test_written_pages_are_the_same_however_the_kernel_tells_them(
    memory: Memory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    file = tmp_path / "pages"
    file.write_bytes(os.urandom(16 * PAGE))
    descriptor = os.open(file, os.O_RDONLY)
    memory.map_file(descriptor, 0, 0, 16 * PAGE)
    os.close(descriptor)
    assert memory.read(9 * PAGE, PAGE)
    for page in (2, 5, 6, 15):
        memory.write(page * PAGE + 7, b"written")
    monkeypatch.setattr(_pages, "_REGIONS", at_once)
    newer = _pages.DirtyPages()
    if not newer.exact:
        pytest.skip("this kernel tells nothing")

    def unknown(*_arguments: object) -> None:
        raise OSError(errno.ENOTTY, "an older kernel")

    found = list(newer.candidates(memory))
    monkeypatch.setattr("fcntl.ioctl", unknown)
    older = _pages.DirtyPages()
    assert older.exact
    assert found == list(older.candidates(memory)) == [(2, 1), (5, 2), (15, 1)]


def test_changed_pages_are_found_by_comparison_alone(memory: Memory, tmp_path: Path) -> None:
    committed = tmp_path / "committed"
    committed.write_bytes(bytes(4 * PAGE))
    memory.write(2 * PAGE + 7, b"changed")
    memory.write(9 * PAGE, b"beyond")
    with committed.open("rb") as file:
        written = _pages.compare_pages(
            memory, _pages.DirtyPages(ask=False), Layout([Run(0, 4, 0, 0)]), [file.fileno()]
        )
    assert written.changed == [(2, 1), (9, 1)]
