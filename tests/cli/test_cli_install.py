from __future__ import annotations

import json
import stat
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from .conftest import Command

SERVE = ["serve"]


@pytest.fixture
def user(tmp_path: Path) -> Path:
    return tmp_path / "user"


def server_in(path: Path, key: str) -> Any:
    return json.loads(path.read_text())[key]["rlm-mcp"]


FILES = [
    ("claude", (), "user/.claude.json", "mcpServers"),
    ("claude", ("--project",), ".mcp.json", "mcpServers"),
    ("cursor", (), "user/.cursor/mcp.json", "mcpServers"),
    ("cursor", ("--project",), ".cursor/mcp.json", "mcpServers"),
    ("vscode", (), ".vscode/mcp.json", "servers"),
]


@pytest.mark.parametrize(("client", "options", "file", "key"), FILES)
def test_the_server_is_added_and_everything_else_stays(
    command: Command, tmp_path: Path, client: str, options: tuple[str, ...], file: str, key: str
) -> None:
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    before = {"other": [1, "ü"], key: {"mine": {"command": "x"}}, "last": None}
    path.write_text(json.dumps(before, indent=4, ensure_ascii=False))
    path.chmod(0o600)
    shown = command("install", client, *options)
    assert shown.returncode == 0, shown.stderr
    entry = server_in(path, key)
    assert Path(entry["command"]).is_absolute()
    assert Path(entry["command"]).parent == Path(sys.executable).parent
    assert entry["args"][-1:] == SERVE
    after = json.loads(path.read_text())
    del after[key]["rlm-mcp"]
    assert after == before
    assert '    "other"' in path.read_text() and "ü" in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads((path.parent / f"{path.name}.bak").read_text()) == before


@pytest.mark.parametrize(("client", "options", "file", "key"), FILES)
def test_a_missing_file_is_made(
    command: Command, tmp_path: Path, client: str, options: tuple[str, ...], file: str, key: str
) -> None:
    assert command("install", client, *options).returncode == 0
    assert server_in(tmp_path / file, key)["args"][-1:] == SERVE
    assert not (tmp_path / f"{file}.bak").exists()


@pytest.mark.parametrize("client", ["claude", "cursor", "vscode", "codex"])
def test_installing_twice_changes_nothing_the_second_time(
    command: Command, tmp_path: Path, client: str
) -> None:
    command("install", client)
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    shown = command("install", client)
    assert shown.returncode == 0
    assert "nothing to do" in shown.stdout
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == files


@pytest.mark.parametrize("client", ["claude", "cursor", "vscode", "codex"])
def test_a_dry_run_shows_the_file_and_writes_nothing(
    command: Command, tmp_path: Path, client: str
) -> None:
    shown = command("install", client, "--dry-run")
    assert shown.returncode == 0
    assert "would hold:" in shown.stdout
    assert "rlm-mcp" in shown.stdout
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("client", "file"),
    [
        ("claude", "user/.claude.json"),
        ("cursor", "user/.cursor/mcp.json"),
        ("vscode", ".vscode/mcp.json"),
        ("codex", "user/.codex/config.toml"),
    ],
)
@pytest.mark.parametrize("content", [b'{"a": 1,}\n[x', b"\xff\xfe\x00"])
def test_a_broken_file_is_refused_and_left_alone(
    command: Command, tmp_path: Path, client: str, file: str, content: bytes
) -> None:
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    shown = command("install", client)
    assert shown.returncode == 1
    assert str(path) in shown.stderr
    assert "Nothing was changed" in shown.stderr
    assert path.read_bytes() == content


def test_an_older_entry_is_brought_up_to_date_and_keeps_its_environment(
    command: Command, user: Path
) -> None:
    path = user / ".cursor" / "mcp.json"
    path.parent.mkdir()
    old = {"command": "/old/rlm-mcp", "args": ["serve", "-x"], "env": {"A": "1"}}
    path.write_text(json.dumps({"mcpServers": {"rlm-mcp": old}}))
    assert command("install", "cursor").returncode == 0
    entry = server_in(path, "mcpServers")
    assert entry["env"] == {"A": "1"}
    assert entry["command"] != "/old/rlm-mcp"


def test_a_linked_file_stays_a_link(command: Command, user: Path, tmp_path: Path) -> None:
    real = tmp_path / "dotfiles.json"
    real.write_text("{}")
    (user / ".cursor").mkdir()
    (user / ".cursor" / "mcp.json").symlink_to(real)
    assert command("install", "cursor").returncode == 0
    assert (user / ".cursor" / "mcp.json").is_symlink()
    assert server_in(real, "mcpServers")["args"][-1:] == SERVE


CODEX = (
    '# mine\nmodel = "x"\n\n[mcp_servers.other]\ncommand = "y" # why\n\n[profiles.a]\nb = [\n 1]\n'
)


def test_codex_gets_a_table_and_keeps_its_comments(command: Command, user: Path) -> None:
    path = user / ".codex" / "config.toml"
    path.parent.mkdir()
    path.write_text(CODEX)
    assert command("install", "codex").returncode == 0
    text = path.read_text()
    assert text.startswith(CODEX)
    entry = tomllib.loads(text)["mcp_servers"]["rlm-mcp"]
    assert entry["args"][-1:] == SERVE
    assert entry["startup_timeout_sec"] > 10
    assert entry["tool_timeout_sec"] > 60
    assert {"ANTHROPIC_API_KEY", "RLM_MCP_MAX_USD", "RLM_MCP_CONFIG"} <= set(entry["env_vars"])
    assert path.with_name("config.toml.bak").read_text() == CODEX


def test_codex_has_an_older_table_brought_up_to_date(command: Command, user: Path) -> None:
    path = user / ".codex" / "config.toml"
    path.parent.mkdir()
    old = (
        '[mcp_servers."rlm-mcp"] # ours\ncommand = "/old"\nargs = ["serve"]\ntool_timeout_sec = 5\n'
    )
    path.write_text(f'{old}\n[mcp_servers.rlm-mcp.env]\nA = "1"\n\n{CODEX.split(chr(10), 3)[3]}')
    assert command("install", "codex").returncode == 0
    entry = tomllib.loads(path.read_text())["mcp_servers"]["rlm-mcp"]
    assert entry["command"] != "/old"
    assert entry["tool_timeout_sec"] == 5
    assert entry["env"] == {"A": "1"}
    assert "# ours" in path.read_text() and "# why" in path.read_text()


@pytest.mark.parametrize(
    "text",
    [
        'mcp_servers = { other = { command = "x" } }\n',
        '[mcp_servers]\nrlm-mcp = { command = "/old", args = [] }\n',
        '[mcp_servers.rlm-mcp]\ncommand = "/old"\nargs = [\n  "serve",\n]\n',
    ],
)
def test_codex_tables_that_cannot_be_changed_safely_are_left_alone(
    command: Command, user: Path, text: str
) -> None:
    path = user / ".codex" / "config.toml"
    path.parent.mkdir()
    path.write_text(text)
    shown = command("install", "codex")
    assert shown.returncode == 1
    assert "by hand" in shown.stderr
    assert "Nothing was changed" in shown.stderr
    assert path.read_text() == text


def test_claude_s_own_command_is_used_where_it_is_installed(
    command: Command, tmp_path: Path
) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    claude = tools / "claude"
    claude.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/called\n')
    claude.chmod(0o755)
    shown = command("install", "claude", PATH=f"{tools}:/usr/bin:/bin")
    assert shown.returncode == 0, shown.stderr
    called = (tmp_path / "called").read_text().split()
    assert called[:6] == ["mcp", "add", "--scope", "user", "rlm-mcp", "--"]
    assert Path(called[6]).is_absolute()
    assert called[-1:] == SERVE


def test_a_failure_of_claude_s_own_command_is_passed_on(command: Command, tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "claude").write_text("#!/bin/sh\necho it does not like that >&2\nexit 3\n")
    (tools / "claude").chmod(0o755)
    shown = command("install", "claude", PATH=f"{tools}:/usr/bin:/bin")
    assert shown.returncode == 1
    assert "it does not like that" in shown.stderr


def test_an_unknown_client_is_an_error_that_names_the_known(command: Command) -> None:
    shown = command("install", "emacs")
    assert shown.returncode == 2
    assert "'claude', 'codex', 'cursor', 'vscode'" in shown.stderr
