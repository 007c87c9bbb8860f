"""The command `rlm-mcp`."""

from ._main import main

__all__ = ["main"]
