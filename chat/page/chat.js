// The page: what was said, and the next question. The conversation lives here alone, in the tab's
// session, in the shape in which the API takes it.

import { answer, offered } from "./answers.js";
import { show } from "./markdown.js";

const KEY = "langop-chat";
const MODEL = "langop-chat-model";
// The server takes 1 MiB.
const MOST_BYTES = 1_000_000;
const REMOVED = "[removed: the conversation is long]";
const UNKNOWN = "error: the answer was broken off, and whether this was done is not known";

const at = (id) => document.getElementById(id);
const log = at("log");
const question = at("question");
const model = at("model");

/** Messages as the API takes them. */
let messages = restored();
/** The calls that are shown, by the id of the call. */
const calls = new Map();
/** Of the answer under way. */
let stopping = null;

function restored() {
  try {
    const kept = JSON.parse(sessionStorage.getItem(KEY));
    return Array.isArray(kept) ? kept : [];
  } catch {
    return [];
  }
}

function keep() {
  try {
    sessionStorage.setItem(KEY, JSON.stringify(messages));
  } catch {
    tell("This browser has no room to keep the conversation: a reload will lose it.");
  }
}

// Showing

function add(parent, name, attributes = {}) {
  const element = document.createElement(name);
  Object.assign(element, attributes);
  parent.append(element);
  return element;
}

function article(kind, speaker) {
  const element = add(log, "article", { className: kind });
  add(element, "h2", { className: "unseen", textContent: speaker });
  return element;
}

function showMessage(message) {
  at("welcome").hidden = true;
  if (message.role === "user") {
    add(article("mine", "You"), "div", { textContent: message.content });
  } else if (message.role === "tool") {
    showResult(message);
  } else {
    const element = article("theirs", "Answer");
    if (message.content) show(element, message.content);
    for (const call of message.tool_calls ?? []) showCall(element, call);
  }
}

function showCall(parent, call) {
  const details = add(parent, "details");
  const summary = add(details, "summary");
  add(summary, "b", { textContent: title(call) });
  const state = add(summary, "span", { className: "state", textContent: "working" });
  const parts = add(details, "div", { className: "parts" });
  part(parts, "Asked for", pretty(call.function.arguments));
  calls.set(call.id, { details, state, parts });
}

function showResult(message) {
  const shown = calls.get(message.tool_call_id);
  if (!shown) return;
  const isWrong = message.content.startsWith("error:");
  shown.state.textContent = isWrong ? "failed" : "done";
  shown.details.classList.toggle("failed", isWrong);
  part(shown.parts, "Result", pretty(message.content));
}

function part(parent, name, text) {
  add(parent, "p", { textContent: name });
  add(parent, "pre", { textContent: text || "(nothing)", tabIndex: 0 });
}

/** The tool and its operation: names of functions join them by two underscores. */
function title(call) {
  return call.function.name.replace("__", " · ");
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

/** Says something about an answer; `again`: whether it can be asked for again. */
function tell(text, { again = false, isWrong = true } = {}) {
  const element = add(log, "article", { className: isWrong ? "notice failed" : "notice" });
  add(element, "p", { textContent: text.charAt(0).toUpperCase() + text.slice(1) });
  if (again) {
    const button = add(element, "button", { type: "button", className: "quiet", textContent: "Try again" });
    button.addEventListener("click", () => {
      question.focus();
      goOn();
    });
  }
  follow();
}

function clearNotices() {
  for (const notice of log.querySelectorAll(".notice")) notice.remove();
}

function status(text) {
  at("status").textContent = text;
}

function follow() {
  window.scrollTo(0, document.documentElement.scrollHeight);
}

// Asking

function say(message) {
  messages.push(message);
  keep();
  showMessage(message);
  follow();
}

/** Every call needs a result before anything else can be said. */
function closeCalls() {
  const answered = new Set(messages.map((message) => message.tool_call_id));
  const asked = messages.flatMap((message) => message.tool_calls ?? []);
  for (const { id } of asked) {
    if (!answered.has(id)) say({ role: "tool", tool_call_id: id, content: UNKNOWN });
  }
}

function isUnanswered() {
  return messages.length > 0 && (messages.at(-1).role !== "assistant" || messages.at(-1).tool_calls?.length > 0);
}

/** The request, without the oldest results if it is too long. */
function request() {
  const sent = structuredClone(messages);
  const body = () =>
    JSON.stringify({
      model: model.value || undefined,
      messages: sent,
      stream: true,
      stream_options: { include_tool_messages: true },
    });
  const isLong = () => new Blob([body()]).size > MOST_BYTES;
  for (const message of sent) {
    if (!isLong()) break;
    if (message.role === "tool") message.content = REMOVED;
  }
  if (isLong()) throw new Error("This conversation is too long: start a new chat.");
  return body();
}

function setBusy(is) {
  document.body.classList.toggle("busy", is);
  at("send").hidden = is;
  at("stop").hidden = !is;
}

/** Asks for an answer to what was said so far. */
async function goOn() {
  if (stopping) return;
  clearNotices();
  stopping = new AbortController();
  const { signal } = stopping;
  setBusy(true);
  status("Thinking");
  try {
    const words = await answer(request(), signal, heard);
    say({ role: "assistant", content: words });
    status("");
  } catch (error) {
    // Another conversation has begun.
    if (signal.reason === "new") return;
    closeCalls();
    const isWrong = !signal.aborted;
    tell(isWrong ? error.message : "You stopped this answer.", { again: true, isWrong });
    status("");
  } finally {
    if (stopping?.signal === signal) {
      stopping = null;
      setBusy(false);
    }
  }
}

/** What a tool is called with, or gave. */
function heard(message) {
  say(message);
  const [call] = message.tool_calls ?? [];
  status(call ? `Calling ${title(call)}` : "Thinking");
}

function ask(event) {
  event.preventDefault();
  const text = question.value.trim();
  if (!text || stopping) return;
  clearNotices();
  question.value = "";
  say({ role: "user", content: text });
  question.focus();
  goOn();
}

function stop() {
  stopping?.abort("stopped");
  question.focus();
}

function startAnew() {
  stopping?.abort("new");
  stopping = null;
  setBusy(false);
  status("");
  messages = [];
  calls.clear();
  log.replaceChildren();
  keep();
  at("welcome").hidden = false;
  question.focus();
}

at("ask").addEventListener("submit", ask);
at("stop").addEventListener("click", stop);
at("new").addEventListener("click", startAnew);
model.addEventListener("change", () => sessionStorage.setItem(MODEL, model.value));
question.addEventListener("keydown", (event) => {
  // While a word is being composed, Enter chooses it.
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) ask(event);
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") stop();
});

// Beginning

async function introduce() {
  try {
    const { models, name, tools } = await offered();
    at("name").textContent = name;
    document.title = name;
    for (const id of models) add(model, "option", { textContent: id, value: id });
    const chosen = sessionStorage.getItem(MODEL);
    if (models.includes(chosen)) model.value = chosen;
    model.hidden = models.length < 2;
    const list = new Intl.ListFormat("en").format(tools);
    at("offer").textContent = list ? `I can use ${list}.` : "I have no tools, and answer in words alone.";
    if (!models.length) tell("No model is offered: name one in this client's modelRefs.");
  } catch (error) {
    tell(`What is offered cannot be read: ${error.message}`);
  }
}

at("welcome").hidden = messages.length > 0;
messages.forEach(showMessage);
closeCalls();
introduce();
if (isUnanswered()) tell("This answer was broken off.", { again: true, isWrong: false });
follow();
