"""A workflow agent in plain Python on the official client: what a person writes without the runtime.

Reads the same environment and the steps of definition.json, and does them in their order.
"""

import asyncio
import json
import os
import sys

from mcp import Client


def url(server):
    """The endpoint: /mcp where the URL has no path."""
    base = server["url"].rstrip("/")
    return base if base.count("/") > 2 else base + "/mcp"


def text(result):
    """A result's text, for the parameters of later steps."""
    return "\n".join(block.text for block in result.content if block.type == "text")


def filled(value, results):
    """Parameters with the results that they name."""
    if isinstance(value, dict):
        if set(value) == {"$result"}:
            return results[value["$result"]]
        return {key: filled(inner, results) for key, inner in value.items()}
    if isinstance(value, list):
        return [filled(inner, results) for inner in value]
    return value


async def run(definition, servers):
    """All steps, over one connection for each tool."""
    results, clients = {}, {}
    try:
        for step in definition["steps"]:
            use = step["action"]["useTool"]
            tool = use["tool"]
            if tool not in clients:
                client = Client(servers[tool])
                clients[tool] = await client.__aenter__()
            arguments = filled(use.get("params", {}), results)
            result = await clients[tool].call_tool(use["action"], arguments)
            if result.is_error:
                raise RuntimeError(f"{step['name']}: {text(result)}")
            results[step["name"]] = text(result)
    finally:
        for client in clients.values():
            await client.__aexit__(None, None, None)
    return f"{len(results)} steps done"


def main():
    servers = {one["name"]: url(one) for one in json.loads(os.environ["MCP_SERVERS"])}
    with open(os.environ["AGENT_DEFINITION_PATH"], encoding="utf-8") as file:
        definition = json.load(file)
    print(asyncio.run(run(definition, servers)), file=sys.stderr)


if __name__ == "__main__":
    main()
