#!/usr/bin/env bash
# Guess: what is raised inside `async with Client(…)` leaves that block as itself, as it does with other context managers, so that
#        `except ValueError` around the block catches a ValueError.
# So:    It comes out within exception groups, one for each task group on the way, and `except ValueError` is passed by. Only
#        `except*`, or a look inside the group, finds it.
# Seen:  mcp 2.3.0 (PyPI), Python 3.11 or newer, a server in memory.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
python3 -m venv venv
venv/bin/pip install -q mcp==2.3.0
cat > try.py <<'PY'
import asyncio
from mcp.client import Client
from mcp.server.mcpserver import MCPServer

async def main():
    try:
        async with Client(MCPServer("x")) as client:
            await client.list_tools()
            raise ValueError("mine")
    except ValueError:
        return "ValueError"
    except BaseException as error:
        depth = 0
        while isinstance(error, BaseExceptionGroup):
            depth, error = depth + 1, error.exceptions[0]
        return f"{type(error).__name__} in {depth} groups"

print(asyncio.run(main()))
PY
out=$(venv/bin/python try.py)
echo "caught as: $out"
[[ $out == "ValueError in 2 groups" ]] || { echo "the behaviour has changed"; exit 1; }
