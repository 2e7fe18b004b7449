// Texts of a page whose contrast to their ground is below 4.5 to 1, or 3 to 1 for large ones (WCAG 2, level AA).
() => {
  const numbers = (colour) => colour.match(/[\d.]+/g).map(Number);
  const linear = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  const light = (rgb) => rgb.slice(0, 3).reduce((sum, v, n) => sum + linear(v / 255) * [0.2126, 0.7152, 0.0722][n], 0);
  const upwards = (e) => (e ? [e, ...upwards(e.parentElement)] : []);
  const groundOf = (e) => upwards(e).map((one) => numbers(getComputedStyle(one).backgroundColor)).find((colour) => colour[3] !== 0);
  const opacityOf = (e) => upwards(e).reduce((product, one) => product * Number(getComputedStyle(one).opacity), 1);
  const found = new Set();
  for (const e of document.querySelectorAll("body *")) {
    const hasText = [...e.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!hasText || !e.getClientRects().length || e.closest("script, style, dialog, .hidden")) continue;
    const style = getComputedStyle(e), ground = groundOf(e), opacity = opacityOf(e);
    const ink = numbers(e.closest("svg") ? style.fill : style.color).slice(0, 3);
    const seen = ink.map((v, n) => v * opacity + ground[n] * (1 - opacity));
    const [more, less] = [light(seen), light(ground)].sort((x, y) => y - x);
    const size = parseFloat(style.fontSize), isLarge = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const ratio = (more + 0.05) / (less + 0.05);
    if (ratio < (isLarge ? 3 : 4.5)) found.add(`${e.tagName}.${e.className?.baseVal ?? e.className}: ${ratio.toFixed(2)}`);
  }
  return [...found];
}
