"""A scripted MCP client: what an agent's harness does, with nothing but the official SDK.

    python examples/scripted_client.py

It starts `rlm-mcp serve`, loads a file, runs code, looks at a part, forks, takes a mistake back and
saves the result.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from pathlib import Path

from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client


async def main(folder: Path) -> None:
    (folder / "prices.csv").write_text(
        "item,price\n" + "".join(f"item {n},{n * 7 % 101}\n" for n in range(50_000))
    )
    # The server's command, as a client's configuration has it. It may read from and write to its
    # working folder, and keeps its spaces in a home, here a temporary one.
    server = StdioServerParameters(
        command=sys.executable,
        args=["-m", "rlm_mcp.cli", "serve", "--home", str(folder / "home"), "--space", "shop"],
        env=dict(os.environ),
        cwd=folder,
    )
    read = 0
    async with Client(stdio_client(server)) as client:

        async def call(tool: str, **arguments: object) -> str:
            """One call: arguments in, a single text out, an error if the tool says so."""
            nonlocal read
            result = await client.call_tool(tool, arguments)
            reply = "".join(part.text for part in result.content if part.type == "text")
            read += len(str(arguments)) + len(reply)
            print(f"-> {tool} {arguments}\n{reply}\n")
            assert not result.is_error, reply
            return reply

        # The file goes into a variable; the reply is a preview, not the file.
        await call("load_variable", name="prices", source="prices.csv")
        # Code works on it. Variables stay; the last expression's value comes back.
        await call(
            "exec_code", code="dear = prices[prices.price > 99]\nlen(dear), dear.price.sum()"
        )
        # A part of any variable, by an access path.
        await call("peek", target="dear", length=3, unit="items")
        # A fork is a copy of the whole interpreter, with a history of its own ...
        await call("spaces", action="fork", name="what-if")
        await call(
            "exec_code", code="prices['price'] *= 2\nint(prices.price.max())", space="what-if"
        )
        # ... so the original has not changed.
        assert "=> 100" in await call("exec_code", code="int(prices.price.max())")
        # Every execution is a commit: a mistake is taken back.
        await call("exec_code", code="del prices, dear")
        await call("spaces", action="undo")
        assert "=> 50000" in await call("exec_code", code="len(prices)")
        # The result goes to a file without passing through this client.
        await call("save_variable", name="dear", path="dear.csv")
        held = await call("exec_code", code="len(prices.to_csv()) + len(dear.to_csv())")
    assert len((folder / "dear.csv").read_text().splitlines()) == 496
    total = int(held.partition("=> ")[2].split()[0])
    print(f"characters in the agent's context: {read:,}; characters in variables: {total:,}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        asyncio.run(main(Path(name).resolve()))
