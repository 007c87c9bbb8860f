"""Settings: flags, then variables, then the file, then defaults; and what is refused."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from rlm_mcp.errors import BadRequestError
from rlm_mcp.settings import Settings, load_settings


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "rlm-mcp.toml"
    path.touch()
    return path


def load(file: Path, flags: dict[str, Any] | None = None, **environ: str) -> Settings:
    return load_settings(flags, {"RLM_MCP_CONFIG": str(file), **environ})


def test_a_settings_file_that_is_named_has_to_be_there(tmp_path: Path) -> None:
    with pytest.raises(BadRequestError, match=r"RLM_MCP_CONFIG names .*nope\.toml, which does not"):
        load(tmp_path / "nope.toml")


def test_flags_go_before_variables_before_the_file_before_defaults(file: Path) -> None:
    assert load(file).limits.memory_mb == 2048
    file.write_text('memory_mb = 300\nspace = "from-file"\nsub_model = "file/model"\n')
    found = load(file)
    assert (found.limits.memory_mb, found.space, found.sub_model) == (
        300,
        "from-file",
        "file/model",
    )
    found = load(file, RLM_MCP_MEMORY_MB="400", RLM_MCP_SPACE="from-variable")
    assert (found.limits.memory_mb, found.space, found.sub_model) == (
        400, "from-variable", "file/model",
    )  # fmt: skip
    found = load(file, {"memory_mb": 500, "space": None}, RLM_MCP_MEMORY_MB="400")
    assert (found.limits.memory_mb, found.space) == (500, "from-file")


def test_every_setting_is_read_from_each_place(file: Path, tmp_path: Path) -> None:
    values: dict[str, tuple[str, str]] = {
        "home": ("RLM_MCP_HOME", str(tmp_path / "h")),
        "cache": ("RLM_MCP_CACHE", str(tmp_path / "c")),
        "space": ("RLM_MCP_SPACE", "named"),
        "sub_model": ("RLM_MCP_SUB_MODEL", "openai/x"),
        "memory_mb": ("RLM_MCP_MEMORY_MB", "512"),
        "running": ("RLM_MCP_RUNNING", "7"),
        "history": ("RLM_MCP_HISTORY", "8"),
        "history_mb": ("RLM_MCP_HISTORY_MB", "9"),
        "durability": ("RLM_MCP_DURABILITY", "sync"),
        "record": ("RLM_MCP_RECORD", "shape"),
        "record_mb": ("RLM_MCP_RECORD_MB", "10"),
        "cache_mb": ("RLM_MCP_CACHE_MB", "10"),
        "in_flight": ("RLM_MCP_IN_FLIGHT", "11"),
        "embed_model": ("RLM_MCP_EMBED_MODEL", "ollama/x"),
    }
    by_variable = load(file, None, **dict(values.values()))
    by_flag = load(file, {name: value for name, (_, value) in values.items()})
    file.write_text("".join(f'{name} = "{value}"\n' for name, (_, value) in values.items()))
    by_file = load(file)
    assert by_variable == by_flag == by_file
    assert by_file.home == tmp_path / "h"
    assert (by_file.cache_mb, by_file.in_flight) == (10, 11)
    assert by_file.limits.sync
    assert (by_file.record, by_file.record_mb) == ("shape", 10)
    limits = by_file.limits
    assert (limits.memory_mb, limits.running, limits.history, limits.history_mb) == (512, 7, 8, 9)


def test_the_first_allowed_folder_is_the_project_or_the_working_folder(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load(file).allow == (tmp_path,)
    project = tmp_path / "project"
    project.mkdir()
    both = os.pathsep.join(["/one", "", "two"])
    found = load(file, RLM_MCP_ALLOW=both, CLAUDE_PROJECT_DIR=str(project))
    assert found.allow == (project, Path("/one"), tmp_path / "two")
    assert load(file, CLAUDE_PROJECT_DIR=str(tmp_path / "gone")).allow == (tmp_path,)
    assert load(file, {"allow": ("/three",)}, RLM_MCP_ALLOW=both).allow == (
        tmp_path,
        Path("/three"),
    )
    file.write_text('allow = ["~/data"]\n')
    assert load(file).allow[1] == Path.home() / "data"


def test_the_space_is_named_by_the_session_or_is_new(file: Path) -> None:
    assert load(file, CLAUDE_CODE_SESSION_ID="abc-123").space == "abc-123"
    assert load(file, CLAUDE_CODE_SESSION_ID="abc", RLM_MCP_SPACE="mine").space == "mine"
    first, second = load(file).space, load(file).space
    assert first != second
    assert load(file, CLAUDE_CODE_SESSION_ID="../../etc").space.startswith("s-")


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("RLM_MCP_MEMORY_MB", "many", "whole number"),
        ("RLM_MCP_MEMORY_MB", "0", "whole number"),
        ("RLM_MCP_MEMORY_MB", "-5", "whole number"),
        ("RLM_MCP_MEMORY_MB", "5000", "between 128 and 4096"),
        ("RLM_MCP_MEMORY_MB", "64", "between 128 and 4096"),
        ("RLM_MCP_RUNNING", "1.5", "whole number"),
        ("RLM_MCP_DURABILITY", "maybe", "`background` or `sync`"),
        ("RLM_MCP_RECORD", "some", "full, shape, off"),
        ("RLM_MCP_SPACE", "a b", "cannot be the name"),
        ("RLM_MCP_SPACE", "../up", "cannot be the name"),
    ],
)
def test_a_bad_variable_is_an_error_that_says_what_would_do(
    file: Path, variable: str, value: str, expected: str
) -> None:
    with pytest.raises(BadRequestError) as caught:
        load(file, None, **{variable: value})
    assert expected in str(caught.value)
    if "whole number" in expected:
        assert variable in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("memory_mb = \n", "cannot be read"),
        ("memory = 5\n", "unknown settings: memory"),
        ("memory_mb = true\n", "whole number"),
        ("space = 5\n", "must be text"),
        ("allow = 5\n", "list of paths"),
        ("allow = [5]\n", "list of paths"),
    ],
)
def test_a_bad_file_is_an_error_that_names_it(file: Path, text: str, expected: str) -> None:
    file.write_text(text)
    with pytest.raises(BadRequestError) as caught:
        load(file)
    assert expected in str(caught.value)
    assert str(file) in str(caught.value)


def test_a_file_that_is_not_text_is_an_error(file: Path) -> None:
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadRequestError, match="cannot be read"):
        load(file)


def test_a_file_in_the_working_folder_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rlm-mcp.toml").write_text('allow = ["/"]\n')
    monkeypatch.chdir(tmp_path)
    found = load_settings(None, {"HOME": str(tmp_path / "home"), "XDG_CONFIG_HOME": "/nowhere"})
    assert found.allow == (tmp_path,)
