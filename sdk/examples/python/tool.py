"""A tool in Python on the official package: counts words, over Streamable HTTP, for clients of both eras.

This is all that an image needs for `spec.image` of a LanguageTool: PORT in, MCP at /mcp out.
"""

import os
from typing import Annotated

import uvicorn
from mcp.server import MCPServer
from mcp.server.transport_security import TransportSecuritySettings
from mcp_types import ToolAnnotations
from pydantic import Field

server = MCPServer("words")


@server.tool(annotations=ToolAnnotations(readOnlyHint=True))
def count_words(text: Annotated[str, Field(description="The text whose words are counted")]) -> str:
    """Counts the words of a text."""
    return str(len(text.split()))


if __name__ == "__main__":
    # The package refuses a Host that is not loopback's. In a cluster it is the Service's name, and who may connect is the network
    # policy's business. Without sessions any replica answers any request.
    app = server.streamable_http_app(
        stateless_http=True, json_response=True, transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False))
    uvicorn.run(app, host=os.environ.get("LANGOP_TOOL_HOST", "0.0.0.0"), port=int(os.environ.get("PORT", "8080")), log_level="warning")
