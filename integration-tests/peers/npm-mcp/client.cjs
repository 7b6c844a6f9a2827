// Calls a tool by the npm SDK's client and says which version they spoke and what it answered.
// Usage: node client.cjs legacy|auto URL TOOL ARGUMENTS
const { Client, StreamableHTTPClientTransport } = require('@modelcontextprotocol/client');

async function main([mode, url, name, text]) {
  const client = new Client({ name: 'peer', version: '1.0.0' }, { versionNegotiation: { mode } });
  await client.connect(new StreamableHTTPClientTransport(new URL(url)));
  const { tools } = await client.listTools();
  const result = await client.callTool({ name, arguments: JSON.parse(text) });
  const said = { version: client.getNegotiatedProtocolVersion(), tools: tools.length, text: result.content[0].text };
  console.log(JSON.stringify(said));
  await client.close();
}
main(process.argv.slice(2));
