"""Tidying keeps what any head or name needs, and frees the rest of the disk."""

from __future__ import annotations

import threading

import pytest

from rlm_mcp.errors import StoreError
from rlm_mcp.sandbox import PAGE
from rlm_mcp.store import Store

from .conftest import IMAGE_PAGES, Home

ALL = range(IMAGE_PAGES)


def test_old_commits_go_and_the_disk_gets_smaller(home: Home) -> None:
    writer = home.create("main")
    for value in range(1, 31):
        home.write(writer, dict.fromkeys(ALL, value))
        if value % 10 == 0:
            writer.release()
            writer = home.store.hold("main")
    before, _ = home.store.usage()
    home.reopen()
    tidied = home.store.tidy(entries=3, size=1 << 30)
    after, _ = home.store.usage()
    assert tidied.commits > 20
    assert tidied.bytes > 0
    assert before - after >= 10 * IMAGE_PAGES * PAGE
    assert len(home.store.history("main")) == 3
    home.reopen()
    opened, memory = home.open("main")
    assert (memory, opened.damage) == ([30] * IMAGE_PAGES, "")


def test_the_budget_of_bytes_counts_too_and_the_last_commit_always_stays(home: Home) -> None:
    writer = home.create("main")
    for value in range(1, 11):
        home.write(writer, dict.fromkeys(ALL, value))
    home.store.tidy(entries=100, size=3 * IMAGE_PAGES * PAGE)
    assert len(home.store.history("main")) == 3
    home.store.tidy(entries=100, size=1)
    (last,) = home.store.history("main")
    opened, memory = home.open("main")
    assert (opened.commit.id, memory[0]) == (last.id, 10)


def test_a_fork_keeps_what_its_parent_has_forgotten(home: Home) -> None:
    writer = home.create("main")
    home.write(writer, {0: 1, 1: 1})
    home.write(writer, {1: 2})
    home.store.fork("main", "fork")
    for value in range(3, 40):
        home.write(writer, dict.fromkeys(ALL, value))
    writer.release()
    home.store.tidy(entries=1, size=1)
    home.reopen()
    fork, memory = home.open("fork")
    assert (memory[:3], fork.damage) == ([1, 2, 0], "")
    main, memory = home.open("main")
    assert (memory, main.damage) == ([39] * IMAGE_PAGES, "")
    home.store.delete("main")
    home.store.tidy(entries=1, size=1)
    home.store.tidy(entries=1, size=1)
    fork, memory = home.open("fork")
    assert (memory[:3], fork.damage) == ([1, 2, 0], "")


def test_a_checkpoint_is_kept_whatever_the_budget(home: Home) -> None:
    writer = home.create("main")
    home.write(writer, {0: 1})
    named = home.store.checkpoint("main", "good")
    for value in range(2, 10):
        home.write(writer, {0: value})
    home.store.tidy(entries=1, size=1)
    assert home.store.move_head("main", named.id).id == named.id
    assert home.open("main")[1][0] == 1


def test_what_is_forgotten_cannot_be_gone_back_to_and_says_so(home: Home) -> None:
    writer = home.create("main")
    old = home.write(writer, {0: 1})
    for value in range(2, 10):
        home.write(writer, {0: value})
    home.store.tidy(entries=2, size=1 << 30)
    with pytest.raises(StoreError, match=f"commit {old.id} is no longer kept"):
        home.store.move_head("main", old.id)
    assert home.open("main")[1][0] == 9


def test_a_deleted_space_gives_its_disk_back(home: Home) -> None:
    keep = home.create("keep")
    home.write(keep, {0: 5})
    writer = home.create("big")
    for value in range(1, 20):
        home.write(writer, dict.fromkeys(ALL, value))
    before, _ = home.store.usage()
    writer.release()
    home.store.delete("big")
    home.store.tidy(entries=100, size=1 << 30)
    after, _ = home.store.usage()
    assert before - after >= 19 * IMAGE_PAGES * PAGE
    assert home.open("keep")[1][0] == 5


def test_tidying_while_the_space_is_written_to_loses_nothing(home: Home) -> None:
    writer = home.create("main")
    ended = threading.Event()
    trouble: list[BaseException] = []

    def tidy() -> None:
        try:
            while not ended.is_set():
                home.store.tidy(entries=3, size=1 << 30)
        except BaseException as error:
            trouble.append(error)

    thread = threading.Thread(target=tidy)
    thread.start()
    try:
        for value in range(1, 201):
            home.write(writer, {value % IMAGE_PAGES: value % 251, 31: value % 251})
            if value % 20 == 0:
                writer.release()
                writer = home.store.hold("main")
    finally:
        ended.set()
        thread.join()
    assert trouble == []
    home.reopen()
    opened, memory = home.open("main")
    assert opened.damage == ""
    assert memory[:31] == [
        next(v for v in range(200, 0, -1) if v % IMAGE_PAGES == page) % 251 for page in range(31)
    ]
    assert memory[31] == 200


def test_spaces_may_be_opened_and_released_while_the_store_is_tidied(home: Home) -> None:
    for number in range(20):
        home.create(f"s{number}").release()
    ended = threading.Event()
    trouble: list[BaseException] = []

    def tidy() -> None:
        try:
            while not ended.is_set():
                home.store.tidy(entries=3, size=1 << 30)
        except BaseException as error:
            trouble.append(error)

    thread = threading.Thread(target=tidy)
    thread.start()
    try:
        for _ in range(20):
            for writer in [home.store.hold(f"s{number}") for number in range(20)]:
                writer.release()
    finally:
        ended.set()
        thread.join()
    assert trouble == []


def test_two_servers_may_tidy_at_once(home: Home) -> None:
    writer = home.create("main")
    for value in range(1, 50):
        home.write(writer, dict.fromkeys(ALL, value))
    other = Store(home.folder)
    try:
        threads = [
            threading.Thread(target=store.tidy, kwargs={"entries": 2, "size": 1 << 30})
            for store in (home.store, other)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        other.close()
    assert home.open("main")[1] == [49] * IMAGE_PAGES
