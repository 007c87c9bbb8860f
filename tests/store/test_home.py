"""The home folder: it can be moved, and one that cannot be used is refused in words."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

from rlm_mcp.errors import SpaceError, StoreError
from rlm_mcp.store import KeptAnswer, Store

from .conftest import Home


def test_a_home_that_was_copied_to_another_folder_has_every_space(
    home: Home, tmp_path: Path
) -> None:
    writer = home.create("main")
    home.write(writer, {3: 1})
    home.store.fork("main", "fork")
    home.write(writer, {4: 2})
    home.store.checkpoint("main", "good")
    home.store.close()
    shutil.copytree(home.folder, tmp_path / "elsewhere" / "copy")
    shutil.rmtree(home.folder)
    home.reopen(tmp_path / "elsewhere" / "copy")
    main, memory = home.open("main")
    assert (memory[3], memory[4], main.damage) == (1, 2, "")
    fork, memory = home.open("fork")
    assert (memory[3], memory[4], fork.damage) == (1, 0, "")
    assert home.store.checkpoints("main") == {"good": main.commit.id}
    home.write(home.store.hold("main"), {5: 3})
    assert home.open("main")[1][3:6] == [1, 2, 3]


def test_a_store_of_a_newer_format_is_refused_and_left_alone(home: Home) -> None:
    home.write(home.create("main"), {3: 1})
    home.store.close()
    database = sqlite3.connect(home.folder / "store.sqlite")
    database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(StoreError, match=r"newer rlm-mcp \(format 99\).*RLM_MCP_HOME"):
        home.reopen()
    database = sqlite3.connect(home.folder / "store.sqlite")
    assert database.execute("PRAGMA user_version").fetchone() == (99,)
    assert database.execute("SELECT handle FROM spaces").fetchall() == [("main",)]
    database.close()


def test_answers_of_an_older_format_are_still_known(home: Home) -> None:
    home.store.answers.write([KeptAnswer("k", "a/b", b"paid for")], (), {}, 1 << 20)
    home.store.close()
    database = sqlite3.connect(home.folder / "store.sqlite")
    database.executescript(
        "ALTER TABLE answers RENAME TO later;"
        "CREATE TABLE answers (key TEXT PRIMARY KEY, model TEXT NOT NULL, created REAL NOT NULL, "
        "used REAL NOT NULL, size INTEGER NOT NULL, answer BLOB NOT NULL) WITHOUT ROWID;"
        "INSERT INTO answers SELECT * FROM later; DROP TABLE later;"
        "CREATE INDEX answers_by_use ON answers (used); ALTER TABLE spending DROP COLUMN seconds;"
        "PRAGMA user_version = 3"
    )
    database.close()
    home.reopen()
    assert home.store.answers.find(["k", "other"])["k"].answer == b"paid for"
    # A look for a key reads no answers: they lie beside what is searched.
    database = sqlite3.connect(home.folder / "store.sqlite")
    plan = database.execute("EXPLAIN QUERY PLAN SELECT answer FROM answers WHERE key = 'k'")
    assert "USING INDEX sqlite_autoindex_answers_1" in str(plan.fetchall())
    database.close()


def test_a_home_that_cannot_be_made_is_an_error_that_names_the_setting(tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("a file, not a folder")
    for folder in (in_the_way, in_the_way / "home"):
        with pytest.raises(StoreError, match="RLM_MCP_HOME") as caught:
            Store(folder)
        assert str(folder) in str(caught.value)


def test_one_server_writes_to_a_space_and_the_other_is_offered_a_fork(home: Home) -> None:
    writer = home.create("main")
    home.write(writer, {3: 1})
    other = Store(home.folder)
    try:
        with pytest.raises(SpaceError, match=r'in use by another server.*action="fork"'):
            other.hold("main")
        with pytest.raises(SpaceError, match="in use"):
            other.delete("main")
        other.fork("main", "copy")
        copy = other.hold("copy")
        writer.release()
        other.hold("main").release()
        copy.release()
    finally:
        other.close()


def test_a_store_may_be_closed_twice(home: Home) -> None:
    home.create("main")
    home.store.close()
    home.store.close()
