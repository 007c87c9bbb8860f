"""A store with spaces of a few pages, whose bytes say what they should be."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from rlm_mcp.sandbox import PAGE, scratch_file
from rlm_mcp.store import Commit, Opened, Store, Writer

IMAGE_PAGES = 32
SIZE = IMAGE_PAGES * PAGE


class Home:
    """A home folder, and what a server would do with the store in it."""

    def __init__(self, folder: Path, image: Path) -> None:
        self.folder = folder
        self.image = image
        self.store = Store(folder)

    def create(self, handle: str) -> Writer:
        """A new space whose memory is zero, and the right to write to it."""
        digest = hashlib.sha256(self.image.read_bytes()).hexdigest()
        self.store.create(handle, self.image, digest, SIZE, None, "guest-1")
        return self.store.hold(handle)

    def write(
        self,
        writer: Writer,
        pages: dict[int, int],
        meanwhile: AbstractContextManager[None] | None = None,
    ) -> Commit:
        """Commit pages, each filled with one byte; `meanwhile` surrounds the store's part."""
        source = scratch_file()
        try:
            for page in sorted(pages):
                os.write(source, bytes([pages[page]]) * PAGE)
            with meanwhile or contextlib.nullcontext():
                return self._commit(writer, pages, source)
        finally:
            os.close(source)

    def _commit(self, writer: Writer, pages: dict[int, int], source: int) -> Commit:
        commit, _, _ = writer.commit(
            changed=tuple((page, 1) for page in sorted(pages)),
            source=source,
            label="a test",
            execution=0,
            size=SIZE,
            monotonic_ns=0,
        )
        return commit

    def open(self, handle: str) -> tuple[Opened, list[int]]:
        """The newest sound commit of a space, and the byte that fills each page at it."""
        space = self.store.space(handle)
        assert space is not None
        opened = self.store.open(space.head.id)
        return opened, self.read(opened)

    def read(self, opened: Opened) -> list[int]:
        """The byte that fills each page at a commit; the descriptors are closed."""
        memory = [0] * IMAGE_PAGES
        try:
            for run in opened.layout:
                for index in range(run.count):
                    data = os.pread(opened.descriptors[run.file], PAGE, (run.origin + index) * PAGE)
                    assert len(data) == PAGE
                    assert data == data[:1] * PAGE
                    memory[run.page + index] = data[0]
        finally:
            for descriptor in opened.descriptors:
                os.close(descriptor)
        return memory

    def reopen(self, folder: Path | None = None) -> None:
        """End the server, and start another on the same home or on a copy of it."""
        self.store.close()
        self.folder = folder or self.folder
        self.store = Store(self.folder)

    def segments(self) -> set[Path]:
        """The files that took commits."""
        return set((self.folder / "pages").glob("*.pages"))


MakeHome = Callable[[str], Home]


@pytest.fixture
def make_home(tmp_path: Path) -> Iterator[MakeHome]:
    """Makes a home folder of a name."""
    image = tmp_path / "base.image"
    image.write_bytes(bytes(SIZE))
    made: list[Home] = []

    def make(name: str) -> Home:
        made.append(Home(tmp_path / name, image))
        return made[-1]

    yield make
    for home in made:
        home.store.close()


@pytest.fixture
def home(make_home: MakeHome) -> Home:
    """A home folder."""
    return make_home("home")
