// The texts of the page whose colour is too near to that behind them: less than 4.5 to 1 (WCAG 2.2,
// 1.4.3, level AA). Colours are painted to know what they are, also where they are mixed.
(() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const paint = (color) => {
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
  };
  const luminance = () => {
    const parts = [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3).map((part) => {
      const share = part / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
  };
  const contrast = (element, color) => {
    paint("#fff");
    const behind = [];
    for (let one = element; one; one = one.parentElement) behind.unshift(one);
    for (const one of behind) paint(getComputedStyle(one).backgroundColor);
    const ground = luminance();
    paint(color);
    const [dark, light] = [ground, luminance()].sort((a, b) => a - b);
    return (light + 0.05) / (dark + 0.05);
  };
  const found = [];
  const judge = (element, color, text) => {
    const ratio = contrast(element, color);
    if (ratio < 4.5) found.push(`${ratio.toFixed(2)}: ${text.trim().slice(0, 40)}`);
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    const text = texts.currentNode.textContent;
    if (text.trim() && element.checkVisibility()) judge(element, getComputedStyle(element).color, text);
  }
  for (const field of document.querySelectorAll("[placeholder]")) {
    judge(field, getComputedStyle(field, "::placeholder").color, field.placeholder);
  }
  return found;
})();
