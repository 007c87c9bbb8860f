"""The MCP server: lists the tools, calls them, and turns what happens into replies."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import AsyncIterator

from mcp.server.lowlevel.server import Server
from mcp.server.stdio import stdio_server
from mcp_types import (
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
)

from .. import __version__
from ..errors import RlmError
from ..lm import SubModel
from ..settings import Settings
from ..space import check_handle
from ._app import App, make_app
from ._arguments import MAX_REPLY_CHARS, read_arguments
from ._handlers import Call
from ._progress import Progress
from ._recording import Recording
from ._render import clean, cut
from ._tools import INSTRUCTIONS, TOOLS

_log = logging.getLogger(__name__)


def make_server(settings: Settings, model: SubModel | None = None) -> Server[App]:
    """An MCP server whose parts live as long as it is run.

    Args:
        settings: its configuration.
        model: answers sub-LLM calls, instead of what the settings name.
    """

    @contextlib.asynccontextmanager
    async def lifespan(_server: Server[App]) -> AsyncIterator[App]:
        app = make_app(settings, model)
        try:
            yield app
        finally:
            await app.close()

    return Server(
        "rlm-mcp",
        version=__version__,
        title="rlm-mcp: a variable space",
        instructions=INSTRUCTIONS,
        lifespan=lifespan,
        on_list_tools=_list_tools,
        on_call_tool=_call_tool,
    )


async def _list_tools(_context: object, _params: PaginatedRequestParams | None) -> ListToolsResult:
    return ListToolsResult(tools=[entry.tool for entry in TOOLS.values()])


async def _call_tool(context: object, params: CallToolRequestParams) -> CallToolResult:
    app: App = context.lifespan_context  # type: ignore[attr-defined]
    session = context.session  # type: ignore[attr-defined]
    call = Call(app, Progress(session.report_progress))
    entry = TOOLS.get(params.name)
    if entry is None:
        name = params.name[:80]
        return _result(f"there is no tool {name!r}; there are: {', '.join(TOOLS)}", True)
    try:
        given = read_arguments(entry.arguments, params.arguments or {})
        handle = check_handle(getattr(given, "space", None) or app.settings.space)
        call.recording = Recording(app.recorder, params.name, given, lambda: call.usage)
        async with call.progress.running(lambda: app.spaces.doing(handle)):
            with call.recording:
                reply = await entry.handler(call, given)
                text, failed = reply if isinstance(reply, tuple) else (reply, False)
                call.recording.replied(text, failed)
    except RlmError as error:
        return _result(str(error), True)
    except Exception:
        _log.exception("the tool %s failed", params.name)
        return _result(
            "the server failed at this; its log (standard error) says how. The space is intact: "
            'look with spaces(action="info"), and try again',
            True,
        )
    finally:
        call.close()
    return _result(text, failed)


def _result(text: str, failed: bool) -> CallToolResult:
    text = cut(clean(text[: 4 * MAX_REPLY_CHARS]), MAX_REPLY_CHARS, "ask for less")
    return CallToolResult(content=[TextContent(type="text", text=text)], is_error=failed)


async def serve_stdio(settings: Settings) -> None:
    """Serve one client over standard input and output, until it is gone.

    Raises:
        RlmError: the home folder or an allowed folder cannot be used.
    """
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    server = make_server(settings)
    try:
        async with stdio_server() as (read, write):
            await server.run(read, write, server.create_initialization_options())
    except BaseExceptionGroup as group:
        # The server is made inside the task groups of the SDK.
        ours: BaseException | None = group.subgroup(RlmError)
        while isinstance(ours, BaseExceptionGroup):
            ours = ours.exceptions[0]
        if ours is None:
            raise
        raise ours from None
