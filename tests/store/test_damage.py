"""A file of the store that is no longer what it was costs the commits that need it, no more."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from rlm_mcp.errors import StoreError
from rlm_mcp.sandbox import PAGE

from .conftest import Home


def flip(path: Path, page: int) -> None:
    with path.open("r+b") as file:
        file.seek(page * PAGE + 100)
        byte = file.read(1)
        file.seek(page * PAGE + 100)
        file.write(bytes([byte[0] ^ 1]))


def truncate(path: Path) -> None:
    os.truncate(path, PAGE - 1)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def swap_for_a_link(path: Path) -> None:
    copy = path.with_suffix(".elsewhere")
    path.rename(copy)
    path.symlink_to(copy)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "damaged": lambda path: flip(path, 0),
    "shorter": truncate,
    "shorter ": empty,
    "missing": Path.unlink,
    "missing ": swap_for_a_link,
}


@pytest.mark.parametrize("said", DAMAGE)
def test_a_broken_segment_falls_back_to_the_newest_sound_commit_and_says_which(
    home: Home, said: str
) -> None:
    first = home.write(home.create("main"), {3: 7})
    home.reopen()
    (old,) = home.segments()
    writer = home.store.hold("main")
    home.write(writer, {3: 8, 4: 8})
    home.write(writer, {5: 9})
    home.reopen()
    (new,) = home.segments() - {old}
    DAMAGE[said](new)
    opened, memory = home.open("main")
    assert opened.commit.id == first.id
    assert memory[3:6] == [7, 0, 0]
    assert new.name in opened.damage
    assert said.strip() in opened.damage
    assert old.name not in opened.damage


def test_the_commits_before_the_damage_in_the_same_file_are_still_good(home: Home) -> None:
    writer = home.create("main")
    home.write(writer, {3: 1})
    second = home.write(writer, {3: 2})
    home.write(writer, {3: 3})
    home.write(writer, {9: 4})
    home.reopen()
    (segment,) = home.segments()
    flip(segment, 2)
    opened, memory = home.open("main")
    assert opened.commit.id == second.id
    assert memory[3] == 2
    assert f"{segment.name} is damaged at byte {2 * PAGE:,}" in opened.damage


def test_damage_that_no_kept_page_needs_is_no_damage(home: Home) -> None:
    writer = home.create("main")
    home.write(writer, {3: 1})
    last = home.write(writer, {3: 2})
    home.reopen()
    (segment,) = home.segments()
    flip(segment, 0)
    opened, memory = home.open("main")
    assert (opened.commit.id, memory[3], opened.damage) == (last.id, 2, "")


def test_a_file_that_was_only_touched_is_checked_once_and_is_sound(home: Home) -> None:
    last = home.write(home.create("main"), {3: 1})
    home.reopen()
    (segment,) = home.segments()
    os.utime(segment, (1, 1))
    opened, memory = home.open("main")
    assert (opened.commit.id, memory[3], opened.damage) == (last.id, 1, "")


def test_a_space_of_which_nothing_is_sound_says_what_to_do(home: Home) -> None:
    home.write(home.create("main"), {3: 1})
    home.reopen()
    for path in (home.folder / "pages").iterdir():
        if path.is_file():
            empty(path)
    with pytest.raises(StoreError, match=r"no commit of this space can be read.*delete it"):
        home.open("main")


def test_other_spaces_do_not_notice_the_damage_of_one(home: Home) -> None:
    home.write(home.create("one"), {3: 1})
    (first,) = home.segments()
    home.write(home.create("two"), {3: 2})
    home.reopen()
    first.unlink()
    opened, memory = home.open("two")
    assert (memory[3], opened.damage) == (2, "")
    opened, memory = home.open("one")
    assert memory[3] == 0
    assert "missing" in opened.damage


def test_a_database_that_is_none_is_an_error_that_names_the_folder(home: Home) -> None:
    home.store.close()
    (home.folder / "store.sqlite").write_bytes(b"this is no database at all" * 1000)
    with pytest.raises(StoreError, match="damaged") as caught:
        home.reopen()
    assert str(home.folder) in str(caught.value)
