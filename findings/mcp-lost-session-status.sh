#!/usr/bin/env bash
# Guess: an MCP server that has lost a legacy session answers 404, as the specification (2025-11-25, basic/transports,
#        Session Management) demands, so a client can key "initialise anew" on 404.
# So:    the official reference server answers 400 with JSON-RPC -32000, and its 404 never comes; the Python SDK
#        answers 404 with -32600. A client must treat both as a lost session.
# Seen:  npm @modelcontextprotocol/server-everything 2026.8.31; PyPI mcp 2.3.0.
set -euo pipefail
work=$(mktemp -d); trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$work"' EXIT; cd "$work"
npm install --silent --no-audit --no-fund --prefix . @modelcontextprotocol/server-everything@2026.8.31
python3 -m venv venv && venv/bin/pip -q install --disable-pip-version-check mcp==2.3.0
# The reference server listens on every interface, at a port that is a text: keep it on loopback.
cat > loopback.cjs <<'JS'
const net = require('net'), listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (port, ...rest) {
  return /^\d+$/.test(port) ? listen.call(this, Number(port), '127.0.0.1', ...rest.filter((x) => typeof x === 'function')) : listen.call(this, port, ...rest);
};
JS
cat > server.py <<'PY'
import sys
from mcp.server import MCPServer
server = MCPServer("peer")
server.run(transport="streamable-http", host="127.0.0.1", port=int(sys.argv[1]))
PY
free_port() { python3 -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
everything=$(free_port); PORT=$everything node -r ./loopback.cjs node_modules/@modelcontextprotocol/server-everything/dist/index.js streamableHttp >everything.log 2>&1 &
python=$(free_port); venv/bin/python server.py "$python" >python.log 2>&1 &
cat > ask.py <<'PY'
import json, sys, time, urllib.error, urllib.request
def ask(port):
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/mcp", body, {
        "Content-Type": "application/json", "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": "2025-11-25", "Mcp-Session-Id": "4e1b6a0c9d5f4f0aa3c2b1d0e9f8a7b6"})
    for _ in range(150):
        try:
            urllib.request.urlopen(request, timeout=5)
            sys.exit("answered as if the session existed")
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)["error"]["code"]
        except OSError:
            time.sleep(0.2)
    sys.exit("the server did not start")
seen = {name: ask(port) for name, port in zip(("everything", "python"), sys.argv[1:])}
print(seen)
assert seen == {"everything": (400, -32000), "python": (404, -32600)}, "the behaviour has changed"
PY
python3 ask.py "$everything" "$python"
