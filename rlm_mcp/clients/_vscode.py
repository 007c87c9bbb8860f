"""Visual Studio Code: `mcp.json` of a project."""

from __future__ import annotations

from ._json import set_server
from ._plan import FilePlan, Place


def plan_vscode(place: Place) -> FilePlan:
    """Plan the entry for the project, which is the working folder.

    Raises:
        ConfigError: the configuration cannot be understood.
    """
    folder = place.project or place.folder
    return set_server(folder / ".vscode" / "mcp.json", place, "servers", type="stdio")
