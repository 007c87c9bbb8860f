"""MCP: the tools over the spaces."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._app import App, make_app
from ._once import Answered, Piped, answer_question
from ._render import usage_text

if TYPE_CHECKING:
    from ._http import TOKEN_VARIABLE, serve_http
    from ._serve import make_server, serve_stdio
    from ._tools import INSTRUCTIONS, TOOLS

__all__ = [
    "INSTRUCTIONS",
    "TOKEN_VARIABLE",
    "TOOLS",
    "Answered",
    "App",
    "Piped",
    "answer_question",
    "make_app",
    "make_server",
    "serve_http",
    "serve_stdio",
    "usage_text",
]

# The MCP SDK takes most of a second to import, and a question from a shell needs none of it.
_SPEAK_MCP = {
    "INSTRUCTIONS": "_tools",
    "TOKEN_VARIABLE": "_http",
    "TOOLS": "_tools",
    "make_server": "_serve",
    "serve_http": "_http",
    "serve_stdio": "_serve",
}


def __getattr__(name: str) -> Any:
    """Import what speaks MCP when it is first used."""
    if name not in _SPEAK_MCP:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_SPEAK_MCP[name]}"), name)
