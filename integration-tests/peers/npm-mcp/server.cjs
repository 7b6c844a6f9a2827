// A server of the npm SDK on loopback, by its own words without any habit. Usage: node server.cjs PORT
const { createServer } = require('node:http');
const { toNodeHandler } = require('@modelcontextprotocol/node');
const { createMcpHandler, McpServer } = require('@modelcontextprotocol/server');
const { z } = require('zod');

const handler = createMcpHandler(() => {
  const server = new McpServer({ name: 'peer', version: '1.0.0' });
  const inputSchema = z.object({ message: z.string() });
  server.registerTool('echo', { description: 'Echoes', inputSchema }, async ({ message }) => ({
    content: [{ type: 'text', text: `Echo: ${message}` }],
  }));
  return server;
});
createServer(toNodeHandler(handler)).listen(Number(process.argv[2]), '127.0.0.1');
