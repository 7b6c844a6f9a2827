#!/usr/bin/env bash
# Guess: when a tool raises, the text of the exception is in the `isError` result, so that a model can correct its call.
# So:    the Python SDK says only "Error executing tool NAME"; the cause is left to the server's own log. What the
#        SDK's ToolError carries does reach the client.
# Seen:  PyPI mcp 2.3.0, over stdio with the SDK's own client.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
python3 -m venv venv && venv/bin/pip -q install --disable-pip-version-check mcp==2.3.0
cat > server.py <<'PY'
from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
server = MCPServer("peer")
@server.tool()
def plain() -> str:
    raise ValueError("the mailbox 'sales' does not exist")
@server.tool()
def declared() -> str:
    raise ToolError("the mailbox 'sales' does not exist")
server.run(transport="stdio")
PY
cat > ask.py <<'PY'
import asyncio, sys
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
async def main():
    async with stdio_client(StdioServerParameters(command=sys.executable, args=["server.py"])) as streams, ClientSession(*streams) as session:
        await session.initialize()
        seen = {}
        for tool in ("plain", "declared"):
            result = await session.call_tool(tool, {})
            seen[tool] = (result.is_error, result.content[0].text)
        print(seen)
        assert seen["plain"] == (True, "Error executing tool plain"), "the behaviour has changed"
        assert seen["declared"][0] and "does not exist" in seen["declared"][1], "the behaviour has changed"
asyncio.run(main())
PY
venv/bin/python ask.py 2>server.log
