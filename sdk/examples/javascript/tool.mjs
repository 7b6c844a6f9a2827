// A tool in JavaScript on the official packages: counts words, over Streamable HTTP, for clients of both eras.
//
// This is all that an image needs for `spec.image` of a LanguageTool: PORT in, MCP at /mcp out.
import { createServer } from 'node:http';
import { toNodeHandler } from '@modelcontextprotocol/node';
import { createMcpHandler, McpServer } from '@modelcontextprotocol/server';
import { z } from 'zod';

// One for each request, without sessions: any replica answers any request.
const mcp = toNodeHandler(createMcpHandler(() => {
  const server = new McpServer({ name: 'words', version: '0.1.0' });
  const inputSchema = z.object({ text: z.string().describe('The text whose words are counted') });
  const about = { description: 'Counts the words of a text', inputSchema, annotations: { readOnlyHint: true } };
  server.registerTool('count_words', about, async ({ text }) => ({
    content: [{ type: 'text', text: String(text.split(/\s+/).filter(Boolean).length) }],
  }));
  return server;
}));

const server = createServer((request, response) => {
  if (new URL(request.url, 'http://tool').pathname === '/mcp') return mcp(request, response);
  response.writeHead(404).end();
});
server.listen(Number(process.env.PORT ?? 8080), process.env.LANGOP_TOOL_HOST ?? '0.0.0.0');
process.on('SIGTERM', () => server.close(() => process.exit(0)));
