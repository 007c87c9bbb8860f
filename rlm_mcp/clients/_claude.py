"""Claude Code: its own command where it is installed, else its file."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from ._json import read_object, set_server
from ._plan import SERVER, CommandPlan, Place, Plan, read_text


def plan_claude(place: Place) -> Plan:
    """Plan the entry for all projects of the user, or for one.

    Raises:
        ConfigError: the configuration cannot be understood.
    """
    scope = "user" if place.project is None else "project"
    path = _file(place)
    servers = read_object(path, read_text(path)).get("mcpServers")
    exists = isinstance(servers, dict) and SERVER in servers
    claude = shutil.which("claude")
    # `claude mcp add` refuses a name that exists, and removing it first would lose its `env`.
    if claude is None or exists:
        return set_server(path, place, "mcpServers", type="stdio")
    return CommandPlan((claude, "mcp", "add", "--scope", scope, SERVER, "--", *place.command))


def _file(place: Place) -> Path:
    if place.project is not None:
        return place.project / ".mcp.json"
    return Path(os.environ.get("CLAUDE_CONFIG_DIR") or place.home) / ".claude.json"
