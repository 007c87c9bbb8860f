"""Codex: a table in `config.toml`, which is edited as text so that comments stay."""

from __future__ import annotations

import json
import os
import re
import tomllib
from pathlib import Path
from typing import Any

from ._plan import SERVER, ConfigError, FilePlan, Place, read_text

STARTUP_SECONDS = 30
"""The handshake takes about a second; Codex gives up after 10 (a guess for slow disks)."""
TOOL_SECONDS = 600
"""Codex gives up after 60 by default: too short for a first call that compiles the sandbox, and
for many sub-LLM calls."""
_HEADER = re.compile(
    r"""^[ \t]*\[[ \t]*mcp_servers[ \t]*\.[ \t]*(?:rlm-mcp|"rlm-mcp"|'rlm-mcp')[ \t]*\][^\n]*\n?""",
    re.MULTILINE,
)
_NEXT_TABLE = re.compile(r"^[ \t]*\[", re.MULTILINE)


def plan_codex(place: Place) -> FilePlan:
    """Plan the table for all projects of the user, or for one that Codex trusts.

    Raises:
        ConfigError: the configuration cannot be understood.
    """
    path = _file(place)
    text = read_text(path)
    before = _parse(path, text or "", "is not valid TOML")
    servers = before.get("mcp_servers", {})
    entry = servers.get(SERVER) if isinstance(servers, dict) else None
    wanted = {"command": place.command[0], "args": list(place.command[1:])}
    if isinstance(entry, dict):
        if all(entry.get(key) == value for key, value in wanted.items()):
            return FilePlan(path, text, text or "")
        after = _updated(text or "", wanted)
    else:
        after = _appended(text or "", wanted)
    _check(path, before, after, {**(entry if isinstance(entry, dict) else {}), **wanted})
    return FilePlan(path, text, after)


def _file(place: Place) -> Path:
    if place.project is not None:
        return place.project / ".codex" / "config.toml"
    return Path(os.environ.get("CODEX_HOME") or place.home / ".codex") / "config.toml"


def _parse(path: Path, text: str, trouble: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except ValueError as error:
        raise ConfigError(f"{path} {trouble} ({error}). Nothing was changed: mend it") from error


def _appended(text: str, wanted: dict[str, Any]) -> str:
    from ..lm import SMALL_MODELS
    from ..settings import VARIABLES

    # Codex starts servers with few variables; these are passed on where they are set. All settings
    # are: a bound on money that is not passed on holds for nothing, and nobody is told.
    variables = dict.fromkeys([*sorted(VARIABLES), *(variable for variable, _ in SMALL_MODELS)])
    lines = [
        f"[mcp_servers.{SERVER}]",
        *_lines(wanted),
        f"startup_timeout_sec = {STARTUP_SECONDS}",
        f"tool_timeout_sec = {TOOL_SECONDS}",
        f"env_vars = {json.dumps(list(variables))}",
    ]
    gap = "" if not text else "\n" if text.endswith("\n") else "\n\n"
    return f"{text}{gap}{chr(10).join(lines)}\n"


def _updated(text: str, wanted: dict[str, Any]) -> str:
    """Set the command in the table that exists; whether that worked is checked afterwards."""
    header = _HEADER.search(text)
    if header is None:
        return text
    following = _NEXT_TABLE.search(text, header.end())
    end = following.start() if following else len(text)
    body = text[header.end() : end]
    rest = re.sub(r"^[ \t]*(?:command|args)[ \t]*=[^\n]*\n?", "", body, flags=re.MULTILINE)
    head = text[: header.end()].removesuffix("\n")
    return f"{head}\n{chr(10).join(_lines(wanted))}\n{rest}{text[end:]}"


def _lines(wanted: dict[str, Any]) -> list[str]:
    # Strings and lists of strings are written alike in JSON and TOML.
    return [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in wanted.items()]


def _check(path: Path, before: dict[str, Any], after: str, entry: dict[str, Any]) -> None:
    """See that the new text means what it should, and that nothing else has changed in it."""
    trouble = (
        f"has `{SERVER}` written in a way that cannot be changed safely; set command and args "
        f"there by hand to {json.dumps(entry['command'])} and {json.dumps(entry['args'])}"
    )
    found = _parse(path, after, trouble)
    servers = found.get("mcp_servers", {})
    mine = servers.pop(SERVER, {})
    others = dict(before.get("mcp_servers", {}))
    others.pop(SERVER, None)
    same = {k: v for k, v in found.items() if k != "mcp_servers"} == {
        k: v for k, v in before.items() if k != "mcp_servers"
    }
    if not same or servers != others or any(mine.get(k) != v for k, v in entry.items()):
        raise ConfigError(f"{path} {trouble}. Nothing was changed")
