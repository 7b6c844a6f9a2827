#!/usr/bin/env bash
# Guess: a tool that asks the person behind the client by `ctx.elicit` does so for every client that can ask one; the SDK
#        speaks whichever protocol the client does.
# So:    over HTTP it works for clients that began with a handshake only. A client of 2026-07-28, the default of the SDK's own,
#        gets an error (-32600) for the call although it can ask. A parameter that is resolved by `Elicit` works for both.
# Seen:  PyPI mcp 2.3.0, server and client.
set -euo pipefail
work=$(mktemp -d); trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$work"' EXIT; cd "$work"
python3 -m venv venv && venv/bin/pip -q install --disable-pip-version-check mcp==2.3.0
cat > server.py <<'PY'
import sys
from typing import Annotated
from mcp.server import MCPServer
from mcp.server.mcpserver import Context, Elicit, Resolve
from pydantic import BaseModel
server = MCPServer("peer")
class Answer(BaseModel):
    name: str
def who() -> Elicit[Answer]:
    return Elicit("Who is there?", Answer)
@server.tool()
async def in_the_call(ctx: Context) -> str:
    return (await ctx.elicit("Who is there?", Answer)).data.name
@server.tool()
async def before_the_call(answer: Annotated[Answer, Resolve(who)]) -> str:
    return answer.name
server.run(transport="streamable-http", host="127.0.0.1", port=int(sys.argv[1]))
PY
cat > ask.py <<'PY'
import asyncio, socket, sys, time
from mcp import Client, MCPError
from mcp_types import ElicitResult
port = int(sys.argv[1])
for _ in range(150):
    try:
        socket.create_connection(("127.0.0.1", port)).close(); break
    except OSError:
        time.sleep(0.2)
async def answer(context, params):
    return ElicitResult(action="accept", content={"name": "Ada"})
async def main():
    seen = {}
    for mode in ("legacy", "auto"):
        async with Client(f"http://127.0.0.1:{port}/mcp", mode=mode, elicitation_callback=answer) as client:
            for tool in ("in_the_call", "before_the_call"):
                try:
                    seen[mode, tool] = (await client.call_tool(tool, {})).content[0].text
                except MCPError as error:
                    seen[mode, tool] = error.code
    print(seen)
    assert seen == {("legacy", "in_the_call"): "Ada", ("legacy", "before_the_call"): "Ada",
                    ("auto", "in_the_call"): -32600, ("auto", "before_the_call"): "Ada"}, "the behaviour has changed"
asyncio.run(main())
PY
port=$(python3 -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
venv/bin/python server.py "$port" >server.log 2>&1 &
venv/bin/python ask.py "$port"
