"""Writing the configuration of the clients that can start this server."""

from collections.abc import Callable

from ._claude import plan_claude
from ._codex import plan_codex
from ._cursor import plan_cursor
from ._plan import CommandPlan, ConfigError, FilePlan, Place, Plan, serve_command
from ._vscode import plan_vscode

CLIENTS: dict[str, Callable[[Place], Plan]] = {
    "claude": plan_claude,
    "codex": plan_codex,
    "cursor": plan_cursor,
    "vscode": plan_vscode,
}
"""What has to change, by the client's name."""

__all__ = [
    "CLIENTS",
    "CommandPlan",
    "ConfigError",
    "FilePlan",
    "Place",
    "Plan",
    "serve_command",
]
