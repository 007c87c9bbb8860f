"""Cursor: `mcp.json` of the user or of a project."""

from __future__ import annotations

from ._json import set_server
from ._plan import FilePlan, Place


def plan_cursor(place: Place) -> FilePlan:
    """Plan the entry for all projects of the user, or for one.

    Raises:
        ConfigError: the configuration cannot be understood.
    """
    folder = place.home if place.project is None else place.project
    return set_server(folder / ".cursor" / "mcp.json", place, "mcpServers")
