"""What the README names is what there is, so that neither can change without the other."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from rlm_mcp.cli import main
from rlm_mcp.clients import CLIENTS
from rlm_mcp.server import TOKEN_VARIABLE
from rlm_mcp.server._tools import TOOLS
from rlm_mcp.settings import _NAMES
from rlm_mcp.space import Limits

from .conftest import Agent

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    """The text below a heading."""
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", README, re.M | re.S)
    assert found is not None, title
    return found[1]


def rows(title: str) -> list[list[str]]:
    """The cells of the table in a section, without its head and without backticks."""
    lines = [line for line in section(title).splitlines() if line.startswith("|")]
    return [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_the_tools_and_their_arguments_are_those_of_the_server() -> None:
    named = {
        row[0]: re.sub(r"=(\"[^\"]*\"|[^,]*)", "", row[1]).split(", ") for row in rows("Tools")
    }
    listed = {
        name: [
            argument for argument in entry.tool.input_schema["properties"] if argument != "space"
        ]
        for name, entry in TOOLS.items()
    }
    assert named == listed


def test_the_defaults_of_the_tools_are_those_of_the_server() -> None:
    for name, arguments, _ in rows("Tools"):
        properties = TOOLS[name].tool.input_schema["properties"]
        for argument, default in re.findall(r"(\w+)=(\"[^\"]*\"|[^,]+)", arguments):
            given = properties[argument].get("default")
            assert default == (f'"{given}"' if isinstance(given, str) else str(given)), argument


def test_the_settings_are_those_that_are_read() -> None:
    named = {row[2]: row[1] for row in rows("Settings")}
    assert named == {key: variable for key, (variable, _) in _NAMES.items()}


def test_every_flag_of_serve_is_named_beside_its_variable() -> None:
    options = {
        option: parameter.name
        for parameter in main.commands["serve"].params
        for option in parameter.opts
    }
    assert options.pop("--http") == "http"  # where it serves is no setting of what it does
    assert "`rlm-mcp serve --http 127.0.0.1:8765`" in README
    assert {row[0]: row[2] for row in rows("Settings") if row[0]} == options


def test_the_defaults_of_the_settings_are_those_of_the_code() -> None:
    limits = Limits()
    defaults = {row[2]: row[3] for row in rows("Settings")}
    for key in ("memory_mb", "view_mb", "running", "history", "history_mb"):
        assert defaults[key] == str(getattr(limits, key)), key
    assert defaults["durability"] == ("sync" if limits.sync else "background")


def test_every_variable_that_is_named_anywhere_is_read() -> None:
    known = {variable for variable, _ in _NAMES.values()} | {"RLM_MCP_CONFIG", TOKEN_VARIABLE}
    assert set(re.findall(r"RLM_MCP_\w+", README)) == known


def test_the_commands_are_those_that_there_are() -> None:
    context = click.Context(main)
    assert {row[0] for row in rows("Commands")} == {
        f"rlm-mcp {name}" for name in main.list_commands(context)
    }
    assert set(re.findall(r"rlm-mcp ([a-z]+)\b(?! is)", README)) >= set(main.list_commands(context))


def test_the_clients_are_those_that_can_be_configured() -> None:
    named = {row[1] for row in rows("Configure your client")}
    assert named == {f"rlm-mcp install {client}" for client in CLIENTS}


@pytest.mark.anyio
async def test_the_helpers_take_the_arguments_that_are_named(agent: Agent) -> None:
    for helper, _ in rows("Inside the sandbox"):
        name = helper.partition("(")[0]
        if name in ("Out[n]", "pmap"):  # a variable, and one of which only the start is told
            continue
        reply = await agent.run(
            "import inspect\n"
            f"bare = [p.replace(annotation=p.empty, default=p.default) "
            f"for p in inspect.signature({name}).parameters.values()]\n"
            f"print({name!r} + str(inspect.Signature(bare)))"
        )
        signature = reply.splitlines()[0].replace("'", '"')
        assert helper.replace("100_000", "100000") == signature


@pytest.mark.anyio
async def test_every_helper_is_named(agent: Agent) -> None:
    helpers = await agent.run(
        "import sys\nprint(*sorted(n for n in globals() if n[0] != '_' and n != 'Out'"
        " and n != 'sys'))"
    )
    text = section("Inside the sandbox")
    missing = [name for name in helpers.splitlines()[0].split() if name not in text]
    assert missing == ["PmapError"]


def test_the_formats_page_names_every_format() -> None:
    page = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
    for tool in ("load_variable", "save_variable"):
        for name in TOOLS[tool].tool.input_schema["properties"]["format"]["enum"]:
            assert f"`{name}`" in page, name


def test_the_test_command_is_one_line_between_its_markers() -> None:
    found = re.search(r"<!-- tests -->\n```sh\n(.*)\n```\n<!-- /tests -->", README)
    assert found is not None
    assert "pytest" in found[1]


def test_what_is_linked_exists() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert not [link for link in links if not (ROOT / link).exists()]


def test_it_is_short() -> None:
    assert len(README.splitlines()) < 300
