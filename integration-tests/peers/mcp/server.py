"""An MCP server of the Python SDK on loopback: progress, an exception, a person who is asked, numbers.

Says on standard output what its tools went through. Usage: server.py PORT
"""

import asyncio
import sys
from typing import Annotated

from mcp.server import MCPServer
from mcp.server.mcpserver import Context, Elicit, Resolve
from opentelemetry import trace as tracing
from pydantic import BaseModel

server = MCPServer("peer")


class Answer(BaseModel):
    name: str


def say(line):
    print(line, flush=True)


@server.tool()
def echo(message: str) -> str:
    return f"Echo: {message}"


@server.tool()
def add(a: int, b: int) -> int:
    return a + b


@server.tool()
def count(to: int) -> str:
    return f"counted to {to}"


@server.tool()
def trace() -> str:
    return format(tracing.get_current_span().get_span_context().trace_id, "032x")


@server.tool()
async def slow(seconds: int, ctx: Context) -> str:
    say("slow: began")
    try:
        for second in range(seconds):
            await ctx.report_progress(second, seconds)
            await asyncio.sleep(1)
    except asyncio.CancelledError:
        say("slow: cancelled")
        raise
    say("slow: ended")
    return "slept"


def who() -> Elicit[Answer]:
    return Elicit("Who is there?", Answer)


@server.tool()
async def asks(answer: Annotated[Answer, Resolve(who)]) -> str:
    return answer.name


@server.tool()
async def asks_as_of_old(ctx: Context) -> str:
    answer = await ctx.elicit("Who is there?", Answer)
    return answer.action


server.run(transport="streamable-http", host="127.0.0.1", port=int(sys.argv[1]))
