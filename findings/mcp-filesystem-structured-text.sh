#!/usr/bin/env bash
# Guess: a tool that returns plain text has it in `content[].text`, and `structuredContent` is only there for tools that
#        return structures, so `structuredContent ?? text` is the value.
# So:    the official file server repeats a file's text as {"content": TEXT}, and the Python SDK wraps a scalar as
#        {"result": 3}: whoever prefers the structured form hands the wrapper, not the text, to the next tool.
# Seen:  npm @modelcontextprotocol/server-filesystem 2026.8.31; PyPI mcp 2.3.0, both over stdio with the SDK's client.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
npm install --silent --no-audit --no-fund --prefix . @modelcontextprotocol/server-filesystem@2026.8.31
python3 -m venv venv && venv/bin/pip -q install --disable-pip-version-check mcp==2.3.0
mkdir files && printf 'three words here' > files/note.txt
cat > server.py <<'PY'
from mcp.server import MCPServer
server = MCPServer("peer")
@server.tool()
def add(a: int, b: int) -> int:
    return a + b
server.run(transport="stdio")
PY
cat > ask.py <<'PY'
import asyncio, os, sys
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
async def call(command, args, tool, arguments):
    async with stdio_client(StdioServerParameters(command=command, args=args)) as streams, ClientSession(*streams) as session:
        await session.initialize()
        result = await session.call_tool(tool, arguments)
        return result.structured_content, [block.text for block in result.content]
async def main():
    file = await call("node", ["node_modules/@modelcontextprotocol/server-filesystem/dist/index.js", os.path.abspath("files")],
                      "read_text_file", {"path": os.path.abspath("files/note.txt")})
    number = await call(sys.executable, ["server.py"], "add", {"a": 1, "b": 2})
    print(file, number)
    assert file == ({"content": "three words here"}, ["three words here"]), "the behaviour has changed"
    assert number == ({"result": 3}, ["3"]), "the behaviour has changed"
asyncio.run(main())
PY
venv/bin/python ask.py
