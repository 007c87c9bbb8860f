from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rlm_mcp.sandbox import Cache
from rlm_mcp.store import Store

from .conftest import Command


@pytest.fixture
def store(tmp_path: Path, sandbox_cache: Cache) -> Iterator[Store]:
    """A store with the space `one` and its fork `two`."""
    image = sandbox_cache.base_image()
    assert image is not None
    store = Store(tmp_path / "home")
    store.create("one", image.path, image.digest, image.size, image.stop, "guest")
    store.fork("one", "two")
    store.checkpoint("one", "begin")
    yield store
    store.close()


def test_without_a_store_there_are_no_spaces_and_none_is_made(
    command: Command, tmp_path: Path
) -> None:
    shown = command("spaces")
    assert shown.returncode == 0
    assert "No spaces yet" in shown.stdout
    assert not (tmp_path / "home").exists()


@pytest.mark.usefixtures("store")
def test_spaces_are_listed_without_a_server(command: Command) -> None:
    shown = command("spaces")
    assert shown.returncode == 0, shown.stderr
    assert "2 spaces" in shown.stdout
    assert "fork of one" in shown.stdout
    assert command("spaces", "list").stdout.splitlines()[0] == shown.stdout.splitlines()[0]


@pytest.mark.usefixtures("store")
def test_the_home_is_named_before_the_action_or_after_it(command: Command, tmp_path: Path) -> None:
    home = ("--home", str(tmp_path / "home"))
    elsewhere = str(tmp_path / "other")
    for arguments in (
        (*home, "list"),
        ("list", *home),
        ("--home", elsewhere, "list", *home),
        ("info", "one", *home),
        ("info", *home, "one"),
    ):
        shown = command("spaces", *arguments, RLM_MCP_HOME=elsewhere)
        assert shown.returncode == 0 and "one" in shown.stdout, (arguments, shown.stderr)


@pytest.mark.usefixtures("store")
def test_the_history_of_a_space_is_shown(command: Command) -> None:
    shown = command("spaces", "info", "one")
    assert shown.returncode == 0, shown.stderr
    assert "checkpoint begin" in shown.stdout
    assert shown.stdout.rstrip().endswith("new")


def test_a_deleted_space_is_gone_and_others_stay(command: Command, store: Store) -> None:
    shown = command("spaces", "delete", "two")
    assert shown.returncode == 0, shown.stderr
    assert [row.handle for row in store.spaces()] == ["one"]


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("action", ["info", "delete"])
def test_an_unknown_space_is_an_error_that_names_the_known(command: Command, action: str) -> None:
    shown = command("spaces", action, "three")
    assert shown.returncode == 1
    assert "there is no space `three`" in shown.stderr
    assert "one" in shown.stderr and "two" in shown.stderr


def test_a_space_that_a_server_holds_is_not_deleted(command: Command, store: Store) -> None:
    writer = store.hold("one")
    shown = command("spaces", "delete", "one")
    writer.release()
    assert shown.returncode == 1
    assert "in use by another server" in shown.stderr
    assert store.space("one") is not None
