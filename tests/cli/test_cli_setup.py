from __future__ import annotations

from pathlib import Path

from rlm_mcp.sandbox import Cache

from .conftest import Command, damage


def test_setup_says_at_once_that_the_sandbox_is_ready_and_where_it_lies(
    command: Command, sandbox_cache: Cache
) -> None:
    shown = command("setup")
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.startswith("The sandbox is ready.\n")
    assert str(sandbox_cache.compiled) in shown.stdout
    assert str(sandbox_cache.image) in shown.stdout
    assert "Nothing had to be done" in shown.stdout
    assert "%" not in shown.stdout


def test_setup_makes_a_damaged_base_image_again_and_shows_its_progress_in_lines(
    command: Command, own_cache: Cache
) -> None:
    damage(own_cache)
    shown = command("setup", RLM_MCP_CACHE=str(own_cache.folder))
    assert shown.returncode == 0, shown.stderr
    assert " 90 %  building the base image\n" in shown.stdout
    assert "100 %  the sandbox is ready\n" in shown.stdout
    assert "The sandbox is ready, made in" in shown.stdout
    again = command("doctor", RLM_MCP_CACHE=str(own_cache.folder))
    assert again.returncode == 0, again.stdout


def test_setup_with_an_unusable_cache_folder_says_what_to_set(
    command: Command, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    shown = command("setup", RLM_MCP_CACHE=str(tmp_path / "file" / "cache"))
    assert shown.returncode == 1
    assert "set RLM_MCP_CACHE to a folder that you can write to" in shown.stderr
