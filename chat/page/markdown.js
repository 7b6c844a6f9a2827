// Shows the Markdown that models write. Builds elements, never HTML from text: whatever a model or
// a tool writes, it stays text. Pictures are not loaded, and links lead to web pages only.

/** Appends what `text` says to `parent`. */
export function show(parent, text) {
  blocks(parent, text.replaceAll("\r\n", "\n").split("\n"), 0);
}

// Deeper lists and quotations are shown as they are written.
const DEEPEST = 6;
// And lines that nobody writes by hand: looking for marks in them takes too long.
const LONGEST = 4000;
const FENCE = /^ {0,3}(`{3,}|~{3,})/;
const HEADING = /^ {0,3}(#{1,6}) +(.*?)[ #]*$/;
const RULE = /^ {0,3}([-*_])( *\1){2,} *$/;
const ITEM = /^( *)([-*+]|\d{1,9}[.)]) +(.*)$/;
const QUOTE = /^ {0,3}> ?/;
const TABLE = /^ *\|?( *:?-+:? *\|)+( *:?-+:? *)?\|? *$/;

function blocks(parent, lines, depth) {
  let at = 0;
  while (at < lines.length) {
    at = block(parent, lines, at, depth);
  }
}

/** Shows the block that begins at line `at`; returns where the next one begins. */
function block(parent, lines, at, depth) {
  const line = lines[at];
  if (!line.trim()) return at + 1;
  if (FENCE.test(line)) return fence(parent, lines, at);
  const heading = HEADING.exec(line);
  if (heading) {
    inline(add(parent, heading[1].length > 2 ? "h4" : "h3"), heading[2]);
    return at + 1;
  }
  if (RULE.test(line)) {
    add(parent, "hr");
    return at + 1;
  }
  if (isTable(lines, at)) return table(parent, lines, at);
  if (depth < DEEPEST && QUOTE.test(line)) return quote(parent, lines, at, depth);
  if (depth < DEEPEST && ITEM.test(line)) return list(parent, lines, at, depth);
  return paragraph(parent, lines, at);
}

function fence(parent, lines, at) {
  const [, mark] = FENCE.exec(lines[at]);
  let end = at + 1;
  while (end < lines.length && !lines[end].trimStart().startsWith(mark)) end += 1;
  const pre = add(parent, "pre");
  // A part that scrolls must be within reach of the keyboard.
  pre.tabIndex = 0;
  add(pre, "code").textContent = lines.slice(at + 1, end).join("\n");
  return end + 1;
}

function quote(parent, lines, at, depth) {
  let end = at;
  while (end < lines.length && QUOTE.test(lines[end])) end += 1;
  const inner = lines.slice(at, end).map((line) => line.replace(QUOTE, ""));
  blocks(add(parent, "blockquote"), inner, depth + 1);
  return end;
}

function list(parent, lines, at, depth) {
  const [, indent, first] = ITEM.exec(lines[at]);
  const isOrdered = /\d/.test(first);
  const element = add(parent, isOrdered ? "ol" : "ul");
  if (isOrdered) element.start = Number.parseInt(first, 10);
  while (at < lines.length) {
    const item = ITEM.exec(lines[at]);
    if (!item || item[1].length > indent.length || /\d/.test(item[2]) !== isOrdered) break;
    const inner = [item[3]];
    at += 1;
    const isInner = (line) => line.search(/\S/) > indent.length || !line.trim();
    while (at < lines.length && isInner(lines[at])) {
      // A blank line ends the item unless it goes on after it.
      if (!lines[at].trim() && !(lines[at + 1]?.trim() && isInner(lines[at + 1]))) break;
      inner.push(lines[at].slice(Math.min(lines[at].search(/\S|$/), indent.length + 2)));
      at += 1;
    }
    const li = add(element, "li");
    if (inner.length === 1) inline(li, inner[0]);
    else blocks(li, inner, depth + 1);
    if (at < lines.length && !lines[at].trim() && ITEM.test(lines[at + 1] ?? "")) at += 1;
  }
  return at;
}

function isTable(lines, at) {
  return lines[at].includes("|") && TABLE.test(lines[at + 1] ?? "");
}

function table(parent, lines, at) {
  const frame = add(parent, "div");
  frame.className = "table";
  frame.tabIndex = 0;
  const element = add(frame, "table");
  const row = (line, kind) => {
    const cells = line.trim().replace(/^\|/, "").replace(/\|$/, "").split("|");
    const tr = add(element, "tr");
    for (const cell of cells) inline(add(tr, kind), cell.trim());
  };
  row(lines[at], "th");
  let end = at + 2;
  for (; end < lines.length && lines[end].includes("|"); end += 1) row(lines[end], "td");
  return end;
}

function paragraph(parent, lines, at) {
  const element = add(parent, "p");
  let end = at;
  do {
    if (end > at) add(element, "br");
    inline(element, lines[end].trim());
    end += 1;
  } while (end < lines.length && lines[end].trim() && !begins(lines, end));
  return end;
}

function begins(lines, at) {
  const line = lines[at];
  return [FENCE, HEADING, RULE, QUOTE, ITEM].some((block) => block.test(line)) || isTable(lines, at);
}

const INLINE =
  /(`{1,3})(.+?)\1|\*\*(\S(?:.*?\S)?)\*\*|(?<![\w*])[*_](\S(?:[^*_]*\S)?)[*_](?![\w*])|\[([^\]]+)\]\(([^\s()]+(?:\([^\s()]*\))?)\)|(https?:\/\/[^\s<>"')\]]*[^\s<>"')\].,;:!?])/;

function inline(parent, text) {
  if (text.length > LONGEST) {
    parent.append(text);
    return;
  }
  for (let rest = text; rest; ) {
    const found = INLINE.exec(rest);
    if (!found) {
      parent.append(rest);
      return;
    }
    parent.append(rest.slice(0, found.index));
    rest = rest.slice(found.index + found[0].length);
    const [whole, , code, strong, emphasis, label, target, bare] = found;
    if (code !== undefined) add(parent, "code").textContent = code.trim();
    else if (strong !== undefined) inline(add(parent, "strong"), strong);
    else if (emphasis !== undefined) inline(add(parent, "em"), emphasis);
    else link(parent, label ?? bare, target ?? bare, whole);
  }
}

function link(parent, label, target, whole) {
  if (!/^https?:\/\//i.test(target) || !URL.canParse(target)) {
    parent.append(whole);
    return;
  }
  const a = add(parent, "a");
  a.href = target;
  a.target = "_blank";
  a.rel = "noopener noreferrer";
  a.title = target;
  a.textContent = label;
}

function add(parent, name) {
  const element = document.createElement(name);
  parent.append(element);
  return element;
}
