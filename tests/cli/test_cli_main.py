from __future__ import annotations

import subprocess
import sys

from .conftest import Command


def test_help_says_what_each_command_does_in_a_line(command: Command) -> None:
    shown = command("--help")
    assert shown.returncode == 0
    for name in ("serve", "setup", "demo", "doctor", "install", "spaces", "view"):
        assert f"\n  {name} " in shown.stdout


def test_the_commands_do_not_slow_down_the_start_of_the_server() -> None:
    code = (
        "import sys, rlm_mcp.cli\n"
        "print([m for m in ('rich', 'mcp', 'litellm', 'asyncio', 'pydantic') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_unknown_command_is_an_error(command: Command) -> None:
    shown = command("nonsense")
    assert shown.returncode == 2
    assert "No such command" in shown.stderr


def test_a_broken_setting_is_an_error_without_a_traceback(command: Command) -> None:
    shown = command("setup", RLM_MCP_MEMORY_MB="lots")
    assert shown.returncode == 1
    assert "RLM_MCP_MEMORY_MB must be a whole number" in shown.stderr
    assert "Traceback" not in shown.stderr
