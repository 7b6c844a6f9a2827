#!/usr/bin/env bash
# Guess: a server is of one era: it either knows `server/discover` and requests without a session (2026-07-28), or it
#        refuses both and wants `initialize`.
# So:    supergateway in front of a legacy server answers discover with 404 / -32601, yet serves a modern `tools/list`
#        (without the `resultType` that the revision requires), and does not refuse a version that does not exist.
#        Only the probe tells the era; that a modern call works tells nothing.
# Seen:  npm supergateway 4.0.0, @modelcontextprotocol/server-filesystem 2026.8.31.
set -euo pipefail
work=$(mktemp -d); trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$work"' EXIT; cd "$work"
npm install --silent --no-audit --no-fund --prefix . supergateway@4.0.0 @modelcontextprotocol/server-filesystem@2026.8.31
# The gateway listens on every interface: keep it on loopback.
cat > loopback.cjs <<'JS'
const net = require('net'), listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (port, ...rest) {
  return typeof port === 'number' ? listen.call(this, port, '127.0.0.1', ...rest.filter((x) => typeof x === 'function')) : listen.call(this, port, ...rest);
};
JS
port=$(python3 -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
mkdir files
node -r ./loopback.cjs node_modules/supergateway/dist/index.js --stdio "node node_modules/@modelcontextprotocol/server-filesystem/dist/index.js $work/files" \
  --outputTransport streamableHttp --port "$port" >gateway.log 2>&1 &
cat > ask.py <<'PY'
import json, sys, time, urllib.error, urllib.request
def ask(method, version):
    meta = {"io.modelcontextprotocol/protocolVersion": version, "io.modelcontextprotocol/clientCapabilities": {}}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": {"_meta": meta}}).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{sys.argv[1]}/mcp", body, {
        "Content-Type": "application/json", "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": version, "Mcp-Method": method})
    for _ in range(150):
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                status, text = response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            status, text = error.code, error.read().decode()
        except OSError:
            time.sleep(0.2); continue
        lines = [line[6:] for line in text.splitlines() if line.startswith("data: {")]
        return status, json.loads(lines[-1] if lines else text)
    sys.exit("the gateway did not start")
discover = ask("server/discover", "2026-07-28")
modern = ask("tools/list", "2026-07-28")
future = ask("tools/list", "2099-01-01")
print(discover, modern[0], len(modern[1]["result"]["tools"]), "resultType" in modern[1]["result"], future[0])
assert discover[0] == 404 and discover[1]["error"]["code"] == -32601, "the behaviour has changed"
assert modern[0] == 200 and modern[1]["result"]["tools"] and "resultType" not in modern[1]["result"], "the behaviour has changed"
assert future[0] == 200 and "result" in future[1], "the behaviour has changed"
PY
python3 ask.py "$port"
