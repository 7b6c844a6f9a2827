#!/usr/bin/env bash
# Guess: a server's tool list is the same for every client; capabilities only decide what it may ask back.
# So:    the official reference server lists 13 tools to a client that declares nothing and more to one that declares
#        sampling, elicitation and roots. A list cached under one set of capabilities is wrong under another.
# Seen:  npm @modelcontextprotocol/server-everything 2026.8.31 over stdio.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
npm install --silent --no-audit --no-fund --prefix . @modelcontextprotocol/server-everything@2026.8.31
cat > ask.py <<'PY'
import json, subprocess
def tools(capabilities):
    server = subprocess.Popen(["node", "node_modules/@modelcontextprotocol/server-everything/dist/index.js", "stdio"],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    def send(message):
        server.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n"); server.stdin.flush()
    def answer(to):
        for line in server.stdout:
            message = json.loads(line)
            if message.get("id") == to and "method" not in message:
                return message["result"]
            if message.get("method") == "roots/list":
                send({"id": message["id"], "result": {"roots": []}})
    send({"id": 1, "method": "initialize", "params": {"protocolVersion": "2025-11-25", "capabilities": capabilities,
                                                      "clientInfo": {"name": "asker", "version": "1"}}})
    answer(1)
    send({"method": "notifications/initialized"})
    # The server registers the conditional tools after `initialized`: a round trip later they are there.
    send({"id": 2, "method": "ping"}); answer(2)
    send({"id": 3, "method": "tools/list"})
    names = {tool["name"] for tool in answer(3)["tools"]}
    server.kill()
    return names
plain, capable = tools({}), tools({"sampling": {}, "elicitation": {}, "roots": {}})
print(len(plain), len(capable), sorted(capable - plain))
assert len(plain) == 13 and plain < capable, "the behaviour has changed"
PY
python3 ask.py
