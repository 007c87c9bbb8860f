"""`rlm-mcp view` as a command: what it is told and what it says, and the file to hand on."""

from __future__ import annotations

import base64
import hashlib
import re
import socket
import stat
from pathlib import Path

import pytest

from rlm_mcp.settings import Settings

from ..cli.conftest import Command, command, environment
from .conftest import EVIL, View, text_of

__all__ = ["command", "environment"]

pytestmark = pytest.mark.anyio


@pytest.mark.usefixtures("history")
async def test_a_space_is_written_to_one_file_that_needs_nothing_else(
    command: Command, tmp_path: Path
) -> None:
    done = command("view", "main", "--html", "main.html")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("10 calls of space main in main.html (")
    file = tmp_path / "main.html"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    page = file.read_text(encoding="utf-8")
    assert not re.search(r"<[^>]*\b(href|src|action)\s*=|url\(|@import", page)
    assert "<script" not in page and not set(page) & set("\u202e\x1b\x00")
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.S)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"default-src &#39;none&#39;; style-src &#39;sha256-{digest}&#39;" in page
    shown = text_of(page)
    assert "10 calls, the oldest first" in shown
    assert (
        shown.index("kept = [1, 2, 3]") < shown.index("what is above?") < shown.index("x" * 5_000)
    )
    assert "SUBMIT('deep')" in shown and "<question 69>" in shown and "undone" in shown
    again = command("view", "main", "--html", "main.html")
    assert again.returncode == 1 and "main.html exists already" in again.stderr
    assert file.read_text(encoding="utf-8") == page


@pytest.mark.usefixtures("history")
@pytest.mark.parametrize("how", ["flag", "setting"])
async def test_texts_are_left_out_of_a_file_by_the_flag_or_the_setting(
    command: Command, tmp_path: Path, how: str
) -> None:
    arguments = ("view", "main", "--html", "shape.html")
    if how == "flag":
        done = command(*arguments, "--no-texts")
    else:
        done = command(*arguments, RLM_MCP_RECORD="shape")
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "shape.html").read_text(encoding="utf-8")
    for private in ("kept", "printed", "question 3", "ZeroDivision", "esrever", "SUBMIT", "above",
                    "xxxx", EVIL[:12]):  # fmt: skip
        assert private not in page, private
    shown = text_of(page)
    assert "Code, prompts, answers and output are left out." in shown
    assert "execution 1 ok" in shown and "70 calls" in shown and "scripted" in shown
    assert "(code: 43 characters)" in shown


@pytest.mark.usefixtures("history")
async def test_without_texts_the_pages_have_none_either(view: View) -> None:
    with view("main", "--no-texts") as viewing:
        pages = [viewing.get(), viewing.get("../"), viewing.get("main/commits")]
        span = re.findall(r"/span/([0-9a-f-]+)", pages[0])
        pages += [viewing.get(f"../span/{number}") for number in span[:5]]
        for page in pages:
            assert "kept" not in text_of(page).replace("kept as", "").replace("commits kept", "")
            assert "xxxx" not in page
        assert "not shown" in viewing.get(f"../text/{span[0]}/output", 404)


@pytest.mark.usefixtures("history")
async def test_the_newest_calls_are_in_a_file_that_is_bounded(
    command: Command, tmp_path: Path
) -> None:
    done = command("view", "main", "--html", "few.html", "--limit", "2")
    assert done.stdout.startswith("the last 2 of 10 calls of space main in few.html")
    page = (tmp_path / "few.html").read_text(encoding="utf-8")
    assert page.count("<article") == 2 and "xxxx" in page and "undone: " in page


async def test_what_cannot_be_shown_is_said_in_a_line(
    command: Command, settings: Settings, tmp_path: Path
) -> None:
    unknown = command("view", "other")
    assert unknown.returncode == 1
    assert "there is no space `other`" in unknown.stderr and "known: none" in unknown.stderr
    assert not (tmp_path / "home").exists()
    unnamed = command("view", "--html", "x.html")
    assert unnamed.returncode == 2 and "--html wants the SPACE" in unnamed.stderr
    assert not (tmp_path / "x.html").exists()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = command("view", "--no-open", "--port", str(port))
    assert refused.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port} (Address already in use)" in refused.stderr
    assert "leave --port out" in refused.stderr
    assert command("view", "--port", "99999").returncode == 2
    assert not settings.home.exists()


@pytest.mark.usefixtures("history")
async def test_a_file_that_cannot_be_written_whole_is_not_left_behind(
    command: Command, tmp_path: Path
) -> None:
    done = command("view", "main", "--html", "no/such/folder.html")
    assert done.returncode == 1 and "cannot be written (No such file" in done.stderr
    unknown = command("view", "other", "--html", "other.html")
    assert unknown.returncode == 1 and "known: main, trial" in unknown.stderr
    assert not (tmp_path / "other.html").exists()
