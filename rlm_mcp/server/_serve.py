"""The MCP server: lists the tools, calls them, and turns what happens into replies."""

from __future__ import annotations

import base64
import contextlib
import logging
import os
import sys
from collections.abc import AsyncIterator, Iterator

from mcp.server.lowlevel.server import Server
from mcp.server.stdio import stdio_server
from mcp_types import (
    CallToolRequestParams,
    CallToolResult,
    ContentBlock,
    ImageContent,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
)
from pydantic import BaseModel

from .. import __version__
from ..errors import RlmError
from ..lm import AGENT, SubModel, choose
from ..settings import Settings
from ..space import check_handle
from ._app import App, make_app
from ._arguments import DEFAULT_REPLY_CHARS, MAX_REPLY_CHARS, budget_of, read_arguments
from ._call import Call
from ._garbage import spare_what_stays
from ._progress import Progress
from ._recording import Recording
from ._render import clean, cut
from ._reply import Reply, reply_of
from ._tools import ANSWER, INSTRUCTIONS, INSTRUCTIONS_FOR_AGENT, TOOLS, ToolEntry
from ._whole_texts import WholeTexts

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

    agent_answers = model is None and choose(settings.sub_model, os.environ) == AGENT
    return Server(
        "rlm-mcp",
        version=__version__,
        title="rlm-mcp: a variable space",
        instructions=INSTRUCTIONS + INSTRUCTIONS_FOR_AGENT * agent_answers,
        lifespan=lifespan,
        on_list_tools=_list_tools,
        on_call_tool=_call_tool,
    )


async def _list_tools(context: object, _params: PaginatedRequestParams | None) -> ListToolsResult:
    app: App = context.lifespan_context  # type: ignore[attr-defined]
    listed = app.answer_is_listed
    tools = [entry.tool for name, entry in TOOLS.items() if listed or name != ANSWER]
    return ListToolsResult(tools=tools)


async def _call_tool(context: object, params: CallToolRequestParams) -> CallToolResult:
    app: App = context.lifespan_context  # type: ignore[attr-defined]
    session = context.session  # type: ignore[attr-defined]
    call = Call(app, Progress(session.report_progress), questions=app.suspended.questions())
    entry = TOOLS.get(params.name)
    if entry is None:
        name = params.name[:80]
        return _result(Reply(f"there is no tool {name!r}; there are: {', '.join(TOOLS)}", True))
    try:
        given = read_arguments(entry.arguments, params.arguments or {})
        handle = check_handle(getattr(given, "space", None) or app.settings.space)
        call.budget = budget_of(given)
        call.recording = Recording(app.recorder, params.name, given, lambda: call.usage)
        async with call.progress.running(lambda: app.spaces.doing(handle)):
            work = _carry_out(entry, call, given)
            if not entry.asks:
                return _result(await work)
            room = getattr(given, "max_chars", DEFAULT_REPLY_CHARS)
            return _result(await app.suspended.run(handle, call.questions, call.stop, work, room))
    except RlmError as error:
        return _result(Reply(str(error), True))


async def _carry_out(entry: ToolEntry, call: Call, given: BaseModel) -> Reply:
    """The reply of a tool, whatever happens."""
    try:
        with call.recording, call.questions.asked_here():
            reply = reply_of(await entry.handler(call, given))
            call.recording.replied(reply.text, reply.failed)
            return reply
    except RlmError as error:
        return Reply(str(error), True)
    except Exception:
        _log.exception("the tool %s failed", entry.tool.name)
        return Reply(
            "the server failed at this; its log (standard error) says how. The space is intact: "
            'look with spaces(action="info"), and try again',
            True,
        )
    finally:
        call.close()


def _result(reply: Reply) -> CallToolResult:
    text = cut(clean(reply.text[: 4 * MAX_REPLY_CHARS]), MAX_REPLY_CHARS, "ask for less")
    content: list[ContentBlock] = [TextContent(type="text", text=text)]
    for image in reply.images:
        data = base64.b64encode(image.data).decode()
        content.append(ImageContent(type="image", data=data, mime_type=image.mime))
    return CallToolResult(content=content, is_error=reply.failed)


async def serve_stdio(settings: Settings) -> None:
    """Serve one client over standard input and output, until it is gone.

    Raises:
        RlmError: the home folder or an allowed folder cannot be used.
    """
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    server = make_server(settings)
    spare_what_stays()
    with only_ours():
        async with stdio_server() as (read, write):
            options = server.create_initialization_options()
            await server.run(WholeTexts(read), write, options)


@contextlib.contextmanager
def only_ours() -> Iterator[None]:
    """Raise an error of the project as it is: the server is made in the task groups of the SDK."""
    try:
        yield
    except BaseExceptionGroup as group:
        ours: BaseException | None = group.subgroup(RlmError)
        while isinstance(ours, BaseExceptionGroup):
            ours = ours.exceptions[0]
        if ours is None:
            raise
        raise ours from None
