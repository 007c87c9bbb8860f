from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from rlm_mcp.cli._checks import in_range
from rlm_mcp.sandbox import Cache

from .conftest import Command, damage

PARTS = (
    "python", "packages", "guest", "cache", "compiled guest", "base image", "home", "disk",
    "worker", "walls", "dirty pages", "soft stop", "sub-model", "embeddings", "allowed",
)  # fmt: skip


def test_a_sound_installation_is_well_in_every_part(command: Command) -> None:
    shown = command("doctor")
    assert shown.returncode == 0, shown.stdout + shown.stderr
    for part in PARTS:
        assert f" {part} " in shown.stdout
    assert "PROBLEM" not in shown.stdout
    assert "All is well." in shown.stdout


def test_looking_makes_nothing_that_was_not_there(command: Command, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    command("doctor", RLM_MCP_CACHE=str(tmp_path / "no-cache"))
    assert sorted(tmp_path.rglob("*")) == before


def test_a_missing_cache_is_a_problem_with_its_mend(command: Command, tmp_path: Path) -> None:
    shown = command("doctor", RLM_MCP_CACHE=str(tmp_path / "no-cache"))
    assert shown.returncode == 1
    assert "-> run `rlm-mcp setup`" in shown.stdout


def test_a_damaged_base_image_is_a_problem_with_its_mend(
    command: Command, own_cache: Cache
) -> None:
    damage(own_cache)
    shown = command("doctor", RLM_MCP_CACHE=str(own_cache.folder))
    assert shown.returncode == 1
    assert "PROBLEM base image" in shown.stdout
    assert "damaged" in shown.stdout
    assert "-> run `rlm-mcp setup`" in shown.stdout


def test_a_damaged_compiled_guest_is_a_problem_of_the_worker(
    command: Command, own_cache: Cache
) -> None:
    own_cache.compiled.unlink()
    own_cache.compiled.write_bytes(b"not native code")
    own_cache.compiled.chmod(0o600)
    shown = command("doctor", RLM_MCP_CACHE=str(own_cache.folder))
    assert shown.returncode == 1
    assert "PROBLEM worker" in shown.stdout
    assert "-> run `rlm-mcp setup --force`" in shown.stdout


def test_a_home_that_cannot_be_written_is_a_problem(command: Command, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    shown = command("doctor", RLM_MCP_HOME=str(tmp_path / "file" / "home"))
    assert shown.returncode == 1
    assert "PROBLEM home" in shown.stdout
    assert "set RLM_MCP_HOME" in shown.stdout


def test_a_damaged_store_is_a_problem(command: Command, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "store.sqlite").write_bytes(b"no database at all" * 1000)
    shown = command("doctor")
    assert shown.returncode == 1
    assert "PROBLEM home" in shown.stdout
    assert "from a backup" in shown.stdout


def test_without_a_model_it_says_that_the_agent_answers(command: Command) -> None:
    shown = command("doctor")
    assert "agent: the calling agent answers sub_llm itself (from: no key)" in shown.stdout
    assert "set RLM_MCP_SUB_MODEL" in shown.stdout
    shown = command("doctor", RLM_MCP_SUB_MODEL="agent")
    assert "itself (from: RLM_MCP_SUB_MODEL)" in shown.stdout


def test_a_key_is_named_and_never_shown(command: Command) -> None:
    shown = command("doctor", ANTHROPIC_API_KEY="sk-do-not-show-me")
    assert shown.returncode == 0, shown.stdout
    assert "ANTHROPIC_API_KEY is set" in shown.stdout
    assert "do-not-show" not in shown.stdout + shown.stderr


def test_a_named_model_without_its_key_is_a_problem(command: Command) -> None:
    shown = command("doctor", RLM_MCP_SUB_MODEL="openai/some-model")
    assert shown.returncode == 1
    assert "openai/some-model (from: RLM_MCP_SUB_MODEL)" in shown.stdout
    assert "PROBLEM key" in shown.stdout
    assert "OPENAI_API_KEY" in shown.stdout


@pytest.mark.parametrize("variable", ["RLM_MCP_SUB_MODEL", "RLM_MCP_EMBED_MODEL"])
def test_a_model_that_nobody_knows_is_a_problem(command: Command, variable: str) -> None:
    shown = command("doctor", **{variable: "nobody/some-model"})
    assert shown.returncode == 1
    assert "PROBLEM key             nobody/some-model: litellm does not know" in shown.stdout
    assert "-> Write provider/model" in shown.stdout


def test_a_misspelt_variable_is_a_problem_with_the_one_that_was_meant(command: Command) -> None:
    shown = command("doctor", RLM_MCP_MAX_CALL="5")
    assert shown.returncode == 1
    assert "PROBLEM settings        RLM_MCP_MAX_CALL is no setting" in shown.stdout
    assert "-> write RLM_MCP_MAX_CALLS" in shown.stdout


def test_a_command_line_agent_that_is_not_installed_is_a_problem(command: Command) -> None:
    shown = command("doctor", RLM_MCP_SUB_MODEL="cli/codex", PATH="/nowhere")
    assert shown.returncode == 1
    assert "PROBLEM command" in shown.stdout
    assert "npm install -g @openai/codex" in shown.stdout


def test_an_allowed_folder_that_is_missing_is_a_problem(command: Command, tmp_path: Path) -> None:
    shown = command("doctor", "--allow", str(tmp_path / "nowhere"))
    assert shown.returncode == 1
    assert "does not exist" in shown.stdout


@pytest.mark.parametrize(
    ("version", "wanted", "fits"),
    [
        ("49.0.0", ">=49,<50", True),
        ("50.0.0", ">=49,<50", False),
        ("48.9", "<50,>=49", False),
        ("0.1.0", "==0.1.0", True),
        ("1.82.7", "!=1.82.7,<2", False),
        ("1.106.2", ">=1.83,!=1.82.7", True),
        ("2.3.0rc1", ">=2.3", True),
        ("3", "", True),
    ],
)
def test_ranges_of_versions_are_understood(version: str, wanted: str, fits: bool) -> None:
    assert in_range(version, wanted) is fits


def test_the_embedding_model_is_named_with_its_trouble(command: Command, tmp_path: Path) -> None:
    assert "none: search ranks by words" in command("doctor").stdout
    folder = tmp_path / "static"
    shown = command("doctor", RLM_MCP_EMBED_MODEL=f"model2vec/{folder}")
    assert shown.returncode == 1
    assert "PROBLEM embeddings" in shown.stdout
    assert f"there is no folder {folder}" in " ".join(shown.stdout.split())
    folder.mkdir()
    for name in ("model.safetensors", "tokenizer.json"):
        (folder / name).touch()
    shown = command("doctor", RLM_MCP_EMBED_MODEL=f"model2vec/{folder}")
    assert shown.returncode == 0, shown.stdout
    assert "(from: RLM_MCP_EMBED_MODEL)" in " ".join(shown.stdout.split())
    snapshot = tmp_path / "hub" / "models--some--model" / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text(snapshot.name)
    hub = {"HF_HUB_CACHE": str(tmp_path / "hub")}
    shown = command("doctor", RLM_MCP_EMBED_MODEL="model2vec/some/model", **hub)
    assert "are not both there" in " ".join(shown.stdout.split())
    shutil.copytree(folder, snapshot, dirs_exist_ok=True)
    shown = command("doctor", RLM_MCP_EMBED_MODEL="model2vec/some/model", **hub)
    assert shown.returncode == 0, shown.stdout
    shown = command("doctor", RLM_MCP_EMBED_MODEL="model2vec/some/other", **hub)
    assert "`hf download some/other` fetches it" in " ".join(shown.stdout.split())
    shown = command("doctor", RLM_MCP_EMBED_MODEL="openai/text-embedding-3-small")
    assert "where code says embed=True" in " ".join(shown.stdout.split())
