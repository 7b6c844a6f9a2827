#!/usr/bin/env bash
# Guess: grpcurl fails at once where nobody listens, with the refusal of the connection, as curl does.
# So:    it tries again until its time for connecting is over, 10 s unless -connect-timeout says otherwise, and then tells of that time
#        and not of the refusal. A loop that waits for a server by grpcurl looks at it every 10 s.
# Seen:  github.com/fullstorydev/grpcurl/cmd/grpcurl v1.9.4.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
GOBIN="$work/bin" GOFLAGS= go install github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.4
# A port of loopback that is taken and not listened on: connections to it are refused.
cat > ask.py <<'PY'
import socket, subprocess, time
taken = socket.socket()
taken.bind(("127.0.0.1", 0))
address = "127.0.0.1:%d" % taken.getsockname()[1]
def ask(*options):
    begun = time.monotonic()
    done = subprocess.run(["bin/grpcurl", "-plaintext", *options, address, "list"], capture_output=True, text=True)
    took = time.monotonic() - begun
    print(options, f"exit code {done.returncode} after {took:.1f} s:", done.stderr.strip().replace("\n", " "))
    assert done.returncode != 0
    return took
assert 10 <= ask() < 20, "the behaviour has changed"
assert 1 <= ask("-connect-timeout", "1") < 6, "the behaviour has changed"
PY
python3 ask.py
