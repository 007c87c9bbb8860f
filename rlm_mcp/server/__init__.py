"""MCP: the tools over the spaces."""

from ._app import App, make_app
from ._serve import make_server, serve_stdio
from ._tools import INSTRUCTIONS, TOOLS

__all__ = ["INSTRUCTIONS", "TOOLS", "App", "make_app", "make_server", "serve_stdio"]
