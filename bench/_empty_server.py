"""The baseline of the protocol: a server of the same SDK whose one tool answers a constant."""

import asyncio

from mcp.server.lowlevel.server import Server
from mcp.server.stdio import stdio_server
from mcp_types import (
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    Tool,
)

_SCHEMA = {"type": "object", "properties": {"code": {"type": "string"}}}


async def _list(_context: object, _params: PaginatedRequestParams | None) -> ListToolsResult:
    return ListToolsResult(tools=[Tool(name="empty", description="", input_schema=_SCHEMA)])


async def _call(_context: object, _params: CallToolRequestParams) -> CallToolResult:
    return CallToolResult(content=[TextContent(type="text", text="=> 1")])


async def main() -> None:
    server: Server[object] = Server("empty", on_list_tools=_list, on_call_tool=_call)
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())


asyncio.run(main())
