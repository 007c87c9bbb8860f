"""Who looks at a store sees it as it is, and is not noticed."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys

import pytest

from rlm_mcp.errors import StoreError
from rlm_mcp.store import Store, StoreReader

from .conftest import Home

HOLD = """
import os, sys
from pathlib import Path
from rlm_mcp.store import Store
store = Store(Path(sys.argv[1]))
store.hold("main")
print("held", flush=True)
sys.stdin.read()
"""


def test_a_space_is_held_until_its_holder_gives_it_up_or_dies(home: Home) -> None:
    home.create("main").release()
    other = home.create("other")
    with contextlib.closing(StoreReader(home.folder)) as reader:
        assert (reader.held("main"), reader.held("other")) == (False, True)
        other.release()
        assert not reader.held("other")
        for end in ("release", "kill"):
            command = [sys.executable, "-c", HOLD, str(home.folder)]
            with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
                assert holder.stdout is not None and holder.stdin is not None
                assert holder.stdout.readline() == b"held\n"
                assert reader.held("main")
                # Nobody who wants the space is turned away by looking; only the holder does that.
                assert home.store.held("main")
                holder.kill() if end == "kill" else holder.stdin.close()
                holder.wait()
            assert not reader.held("main")
            home.store.hold("main").release()


def test_a_process_that_got_the_number_of_a_dead_holder_holds_nothing(home: Home) -> None:
    home.create("main").release()
    with contextlib.closing(StoreReader(home.folder)) as reader:
        for text in ("", "x", "-1", "0", "9" * 40, str(os.getppid())):
            (home.folder / "locks" / "main.lock").write_text(text)
            assert not reader.held("main") or sys.platform != "linux", text
        (home.folder / "locks" / "main.lock").unlink()
        assert not reader.held("main")
        assert not (home.folder / "locks" / "main.lock").exists()


def test_the_stamp_changes_with_what_others_write_and_only_then(home: Home) -> None:
    home.create("main")
    with contextlib.closing(StoreReader(home.folder)) as reader:
        stamp = reader.stamp()
        reader.spaces()
        assert reader.stamp() == stamp
        home.store.checkpoint("main", "here")
        assert reader.stamp() != stamp
        assert reader.checkpoints("main").keys() == {"here"}


def test_nothing_can_be_written_by_who_looks(home: Home) -> None:
    home.create("main")
    with contextlib.closing(StoreReader(home.folder)) as reader:
        with pytest.raises(StoreError, match="readonly"):
            reader._database.change("DELETE FROM spaces")
        assert reader.space("main") is not None


def test_a_home_without_a_store_gets_none(home: Home) -> None:
    folder = home.folder / "inside"
    folder.mkdir()
    with pytest.raises(StoreError):
        StoreReader(folder)
    assert list(folder.iterdir()) == []
    Store(folder).close()
    StoreReader(folder).close()
