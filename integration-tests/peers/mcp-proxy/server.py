"""A server of the previous major version of the Python SDK on loopback, which asks a person whatever the client can.

Says on standard output what came of it. Usage: server.py PORT
"""

import sys

from mcp.server.fastmcp import Context, FastMCP
from pydantic import BaseModel

server = FastMCP("peer", host="127.0.0.1", port=int(sys.argv[1]))


class Answer(BaseModel):
    name: str


@server.tool()
async def asks(ctx: Context) -> str:
    print("asks: a person", flush=True)
    answer = await ctx.elicit("Who is there?", Answer)
    print(f"asks: {answer.action}", flush=True)
    return answer.action


server.run(transport="streamable-http")
