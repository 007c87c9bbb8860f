"""MCP: the tools over the spaces."""

from ._app import App, make_app
from ._http import TOKEN_VARIABLE, serve_http
from ._once import Answered, Piped, answer_question
from ._render import usage_text
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
