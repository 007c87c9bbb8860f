"""Who may look, and what those who are looked at can do to who looks: nothing."""

from __future__ import annotations

import os
import re
import shutil
import socket
import sqlite3
import stat
import subprocess
from pathlib import Path

import httpx2
import pytest

import rlm_mcp.view
from rlm_mcp.settings import Settings
from rlm_mcp.store import SpanRow, Store

from ..conftest import Connect
from .conftest import EVIL, View, links, text_of

pytestmark = pytest.mark.anyio


@pytest.mark.usefixtures("history")
async def test_what_guests_and_models_say_is_text_on_every_page(view: View) -> None:
    with view("main") as viewing:
        page = viewing.get()
        (commits,) = links(page, "/commits")
        whole = [link for link in links(page, "/span/") if "esrever" in viewing.get(link)]
        pages = [page, viewing.get(), viewing.get(commits), *map(viewing.get, whole)]
        assert len(pages) >= 5
        for shown in pages:
            assert not re.search(r"<(?!/?(a|article|b|body|code|dd|details|div|dl|dt|h1|h2|h4|head|"
                                 r"header|html|link|main|meta|nav|noscript|p|pre|rect|script|section|"
                                 r"small|span|summary|svg|table|tbody|td|th|thead|time|title|tr)\b|"
                                 r"!doctype)", shown)  # fmt: skip
            assert re.findall(r"<script[^>]*>", shown) == re.findall(
                r'<script src="/[\w-]+/static/view\.js" defer>', shown
            )
            assert not re.search(r"<[^>]*\s(on\w+|style)\s*=", shown)
            assert not set(shown) & set("\u202e\u202c\x1b\x00\u200b")
        assert "\\u202eesrever\\u202c \\x1b[2J \\x00 \\u200b" in page
        assert "</pre></script><script>alert(1)</script>" in text_of(pages[-1]).replace("&lt;", "<")
        assert "{{ 7 * 7 }}" in page


@pytest.mark.usefixtures("history")
async def test_names_and_facts_from_a_forged_store_are_text_too(
    view: View, settings: Settings
) -> None:
    tree = "f" * 32
    detail = {"model": EVIL, "fork": EVIL, "number": EVIL, "action": EVIL, "error_kind": EVIL}
    store = Store(settings.home)
    table = store.spans()
    table.write([
        SpanRow(f"{tree}-{0:016x}", None, "main", "sub_rlm", 1e300, -1.0, EVIL, {**detail}),
        SpanRow(f"{tree}-{1:016x}", f"{tree}-{0:016x}", "main", EVIL, 0.0, 1.0, EVIL, {**detail}),
    ])  # fmt: skip
    table.close()
    with sqlite3.connect(settings.home / "store.sqlite") as database:
        database.execute("UPDATE commits SET label = ?", [EVIL])
        database.execute("UPDATE spaces SET origin = ? WHERE handle = 'main'", [EVIL])
        database.execute("UPDATE spans SET detail = '[' WHERE kind = 'load'")
        database.execute(
            "INSERT INTO checkpoints SELECT handle, ?, head FROM spaces WHERE handle = 'main'",
            [EVIL],
        )
    database.close()
    store.close()
    with view() as viewing:
        pages = [viewing.get(), viewing.get("space/main"), viewing.get("space/main/commits")]
        pages += [viewing.get(f"span/{tree}-{0:016x}")]
        for page in pages:
            assert "<img" not in page and "<script>" not in page and "\u202e" not in page
            assert "&lt;img" in page


@pytest.mark.usefixtures("history")
async def test_only_who_knows_the_address_is_answered(view: View) -> None:
    with view("main") as viewing:
        port = httpx2.URL(viewing.url).port
        token = viewing.url.split("/")[3]
        assert len(token) >= 32
        for path in ("/", "/space/main", "/favicon.ico", f"/{token[:-1]}/", f"/{token}x/",
                     f"/x/{token}/", "/static/view.css", "/%00/", f"/?token={token}"):  # fmt: skip
            answer = viewing.ask(path)
            assert answer.status_code == 403, path
            assert "main" not in answer.text and token not in answer.text
        # A page whose name was bound to this address asks by that name.
        for host in ("evil.example", f"evil.example:{port}", "127.0.0.1.evil.example", "", "[::1]"):
            assert viewing.ask("", Host=host).status_code in (400, 421), host
        assert viewing.ask("", Host=f"LOCALHOST:{port}").status_code == 200
        for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
            assert httpx2.request(method, viewing.url).status_code == 405
        answer = viewing.ask()
        assert answer.headers["content-security-policy"].startswith("default-src 'none';")
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"
        assert "access-control-allow-origin" not in answer.headers
        assert "set-cookie" not in answer.headers  # cookies are shared by all ports
        assert viewing.ask("/").headers["x-content-type-options"] == "nosniff"
        with socket.socket() as other:
            host = socket.gethostbyname(socket.gethostname())
            if not host.startswith("127."):
                assert other.connect_ex((host, port)) != 0
    with view("main") as again:
        assert again.url.split("/")[3] != token


@pytest.mark.usefixtures("history")
async def test_addresses_that_lead_nowhere_are_said_to(view: View) -> None:
    with view() as viewing:
        for path in (
            "space/other", "space/..%2f..%2fetc", "space/main/other", "span/x", f"span/{'0' * 49}",
            "text/x/code", "static/..%2f_site.py", "static/view.py", "other",
        ):  # fmt: skip
            assert "Not here" in viewing.get(path, 404), path
        for number in ("x", "-1", "9" * 400, "0" * 5_000, "²", "1e3"):
            for path in ("", "space/main/commits"):
                assert "is a number" in viewing.get(f"{path}?offset={number}", 400), number
        assert "0 of them here" in viewing.get("space/main?beyond=0")
        assert viewing.get("space/main?beyond=%F0%9F&order=%22%3E")


@pytest.mark.usefixtures("history")
async def test_the_store_is_not_written_to_and_no_lock_is_taken(
    view: View, settings: Settings
) -> None:
    def state() -> dict[str, tuple[int, int]]:
        return {
            str(path): (path.stat().st_mtime_ns, path.stat().st_size)
            for path in settings.home.rglob("*")
            if path.suffix not in (".sqlite-shm", ".sqlite-wal") and path != settings.home
        }

    before = state()
    with view() as viewing:
        for path in ("", "space/main", "space/main/commits", "space/trial"):
            viewing.get(path)
        assert state() == before
        # Whoever wants to write to a space gets it while somebody looks.
        store = Store(settings.home)
        writer = store.hold("main")
        assert "open in a server" in viewing.get("space/main")
        writer.release()
        assert "in no server" in viewing.get("space/main")
        store.close()


async def test_a_home_that_is_damaged_or_of_another_version_is_said_to_be(
    view: View, connect: Connect, settings: Settings
) -> None:
    async with connect() as agent:
        await agent.run("x = 1")
    path = settings.home / "store.sqlite"
    database = sqlite3.connect(path)
    for version, says in ((99, "newer rlm-mcp"), (1, "`rlm-mcp spaces` brings it up to date")):
        with database:
            found = database.execute("PRAGMA user_version").fetchone()[0]
            database.execute(f"PRAGMA user_version = {version}")
        with view("main") as viewing:
            assert viewing.process.wait(30) == 1
            assert viewing.process.stderr is not None
            error = viewing.process.stderr.read()
            assert says in error and "Traceback" not in error
        with view() as viewing:
            assert says in viewing.get("", 503)
        with database:
            database.execute(f"PRAGMA user_version = {found}")
    with view("main") as viewing:
        assert "x = 1" in viewing.get()
        with database:
            database.execute("DROP TABLE spans")
        assert "no such table" in viewing.get("", 503)
        database.close()
        for file in settings.home.glob("store.sqlite*"):
            file.unlink()
        path.write_bytes(b"not a database at all" * 1000)
        assert "is damaged" in viewing.get("", 503)
        path.unlink()
        assert "there are no spaces" in viewing.get("", 404)
        assert viewing.end() == 0
        assert viewing.process.stderr is not None
        assert "Traceback" not in viewing.process.stderr.read()


def test_the_script_makes_no_markup_of_text() -> None:
    script = (Path(rlm_mcp.view.__file__).parent / "static" / "view.js").read_text()
    for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval",
                "Function", "setAttribute", "createContextualFragment"):  # fmt: skip
        assert way not in script
    node = shutil.which("node")
    if node is not None:
        file = str(Path(rlm_mcp.view.__file__).parent / "static" / "view.js")
        checked = subprocess.run([node, "--check", file], capture_output=True, text=True)
        assert checked.returncode == 0, checked.stderr


def test_a_browser_is_led_to_the_page_by_a_file_that_others_cannot_read(
    view: View, tmp_path: Path
) -> None:
    told, browser = tmp_path / "told", tmp_path / "browser"
    os.mkfifo(told)
    browser.write_text(f'#!/bin/sh\necho "$*" > {told}\n')
    browser.chmod(0o755)
    with view(BROWSER=str(browser)) as viewing:
        file = Path(told.read_text().strip().removeprefix("file://"))
        assert f'content="0; url={viewing.url}"' in file.read_text()
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
        assert viewing.end() == 0
        assert not file.exists()
