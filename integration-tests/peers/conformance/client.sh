#!/bin/sh
# The runtime as the conformance suite's client: calls what its model says on the server at URL. Usage: client.sh URL
# The environment holds everything else, and which program it is.
MCP_SERVERS="[{\"name\":\"suite\",\"url\":\"$1\"}]" exec "$LANGOP_AGENT"
