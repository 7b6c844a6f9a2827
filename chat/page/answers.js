// Asks the API and hands on what it says, piece by piece. Knows nothing of the page.

/** What is offered: the models, who offers them, and the tools. */
export async function offered() {
  const list = await json(await fetch("v1/models"));
  return {
    models: list.data.map((model) => model.id),
    name: list.langop.name,
    tools: list.langop.tools,
  };
}

/**
 * Asks for an answer to `body`, a JSON text. Calls `said` with what tools are called with and gave,
 * and returns the words of the answer.
 */
export async function answer(body, signal, said) {
  const response = await fetch("v1/chat/completions", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body,
    signal,
  });
  if (!response.ok) await json(response);
  let words = "";
  for await (const data of events(response.body)) {
    if (data === "[DONE]") return words;
    const chunk = JSON.parse(data);
    if (chunk.error) throw new Error(chunk.error.message);
    if (chunk.langop_message) said(chunk.langop_message);
    words += chunk.choices[0]?.delta?.content ?? "";
  }
  throw new Error("The connection broke before the answer was complete.");
}

async function json(response) {
  const body = await response.json().catch(() => null);
  if (response.ok && body) return body;
  throw new Error(body?.error?.message ?? `The server answered ${response.status}.`);
}

/** The data of each server-sent event. */
async function* events(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n\n");
    rest = parts.pop();
    for (const part of parts) {
      const lines = part.split("\n").filter((line) => line.startsWith("data:"));
      if (lines.length) yield lines.map((line) => line.slice(5).trimStart()).join("\n");
    }
  }
}
