"""Calls a tool by the Python SDK's client and says which version they spoke and what it answered.

Usage: client.py legacy|auto URL TOOL ARGUMENTS
"""

import asyncio
import json
import sys

from mcp import Client


async def main(mode, url, name, text):
    async with Client(url, mode=mode) as client:
        tools = (await client.list_tools()).tools
        result = await client.call_tool(name, json.loads(text))
        said = {"version": client.protocol_version, "tools": len(tools), "text": result.content[0].text}
        print(json.dumps(said))


asyncio.run(main(*sys.argv[1:]))
