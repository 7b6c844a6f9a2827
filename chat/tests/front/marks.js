// Which elements come of texts that are made of marks at random, and of a few that are hard to read.
// That it ends is a part of what is tried.
(async () => {
  const { show } = await import("/markdown.js");
  const marks = ["`", "``", "**", "*", "_", "[", "](", ")", "https://a.example", "javascript:a", "- ", "1. ", "> ", "|"];
  marks.push("---", "\n", "\n\n", "  ", "a", "b c", "# x", "```", "~~~", "<b>", "<img src=x>", "![a](https://a.example)");
  let seed = 7;
  const random = (most) => {
    seed = (seed * 1103515245 + 12345) & 0x7fffffff;
    return (seed >> 8) % most;
  };
  const plain = ["1. a\n2. b", "|a|b|\n|-|-|\n|c|d|", "#### x"];
  const hard = ["`".repeat(300_000), "**a ".repeat(999), "[".repeat(3999), "> ".repeat(1999), "- ".repeat(1999)];
  const texts = Array.from({ length: 2000 }, () => Array.from({ length: random(40) }, () => marks[random(marks.length)]).join(""));
  const names = new Set();
  for (const text of [...plain, ...hard, ...texts]) {
    const parent = document.createElement("div");
    show(parent, text);
    for (const element of parent.querySelectorAll("*")) names.add(element.localName);
    for (const link of parent.querySelectorAll("a")) names.add(link.protocol);
  }
  return [...names].sort();
})();
