// Colours of layers: numbers a cell become pixels, and the legend says what they mean.

const SIGNED = ["#053061", "#2166ac", "#67a9cf", "#f7f7f7", "#f1a340", "#b35806", "#662506"];
const UNSIGNED = ["#f7f7f7", "#fee0b6", "#f1a340", "#b35806", "#662506"];
// After Okabe and Ito; classes are named in the legend and under the pointer, too.
const CLASSES = ["#56b4e9", "#d55e00", "#009e73", "#8a5a9e", "#f0e442", "#0072b2", "#cc79a7", "#333333"];
const LEAST_ALPHA = 0.12;
// A mask is a thin tint: what lies under it is what it is about.
const MASK = "#009e73";
const MASK_ALPHA = 0.45;

function rgb(hex) {
  return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
}

function between(stops, share) {
  const place = Math.min(Math.max(share, 0), 1) * (stops.length - 1);
  const left = Math.min(Math.floor(place), stops.length - 2);
  const [a, b] = [rgb(stops[left]), rgb(stops[left + 1])];
  return a.map((value, k) => Math.round(value + (b[k] - value) * (place - left)));
}

export function unpack(text) {
  if (text === null) { return null; }
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  return new Float32Array(bytes.buffer);
}

export function colourOf(layer, value) {
  if (layer.kind === "mask") { return rgb(MASK); }
  if (layer.kind === "classes") { return rgb(CLASSES[value % CLASSES.length]); }
  if (layer.kind === "signed") { return between(SIGNED, 0.5 + value / (2 * layer.scale)); }
  return between(UNSIGNED, value / layer.scale);
}

// How much of a cell there is, 0 to 1: by it cells are hidden, and coloured more or less.
export function strengthOf(layer, numbers, at) {
  if (numbers.strength) { return numbers.strength[at]; }
  return Math.min(1, Math.abs(numbers.values[at]) / layer.scale);
}

export function paintCells(layer, numbers, threshold) {
  const canvas = document.createElement("canvas");
  canvas.width = layer.cols;
  canvas.height = layer.rows;
  const context = canvas.getContext("2d");
  const image = context.createImageData(layer.cols, layer.rows);
  let shown = 0;
  for (let at = 0; at < numbers.values.length; at += 1) {
    const value = numbers.values[at];
    if (Number.isNaN(value)) { continue; }
    const strength = strengthOf(layer, numbers, at);
    if (strength < threshold || (layer.kind === "classes" && strength === 0)) { continue; }
    const alpha = layer.kind === "mask" ? MASK_ALPHA : layer.kind === "classes" ? 1 : LEAST_ALPHA + (1 - LEAST_ALPHA) * strength;
    image.data.set([...colourOf(layer, value), Math.round(255 * alpha)], 4 * at);
    shown += 1;
  }
  context.putImageData(image, 0, 0);
  return { canvas, shown };
}

export function number(value) {
  if (value === 0) { return "0"; }
  const size = Math.abs(value);
  const text = size >= 0.001 && size < 10000 ? String(Number(value.toPrecision(2))) : value.toExponential(1);
  return text.replace("-", "\u2212");
}

function swatch(colour, words) {
  const item = document.createElement("span");
  item.className = "swatch";
  const mark = document.createElement("i");
  mark.style.background = colour;
  item.append(mark, words);
  return item;
}

export function drawLegend(box, layer, numbers) {
  box.replaceChildren();
  if (layer.kind === "mask") {
    const count = numbers.values.filter((value) => !Number.isNaN(value)).length;
    box.append(swatch(MASK, `${layer.ends[1]} (${count} cells)`));
    return;
  }
  if (layer.kind === "classes") {
    const counts = new Map();
    numbers.values.forEach((value) => {
      if (!Number.isNaN(value)) { counts.set(value, (counts.get(value) || 0) + 1); }
    });
    layer.classes.forEach((name, k) => {
      box.append(swatch(CLASSES[k % CLASSES.length], `${name} (${counts.get(k) || 0})`));
    });
    return;
  }
  const bar = document.createElement("canvas");
  bar.width = 140;
  bar.height = 12;
  bar.setAttribute("role", "img");
  bar.setAttribute("aria-label", "colours from lowest to highest");
  const context = bar.getContext("2d");
  for (let x = 0; x < bar.width; x += 1) {
    const share = (x + 0.5) / bar.width;
    const value = layer.kind === "signed" ? (2 * share - 1) * layer.scale : share * layer.scale;
    const alpha = LEAST_ALPHA + (1 - LEAST_ALPHA) * Math.min(1, Math.abs(value) / layer.scale);
    context.fillStyle = "#d9d9d9";
    context.fillRect(x, 0, 1, bar.height);
    context.fillStyle = `rgba(${colourOf(layer, value).join(",")},${alpha})`;
    context.fillRect(x, 0, 1, bar.height);
  }
  const low = layer.kind === "signed" ? number(-layer.scale) : "0";
  box.append(`${layer.ends[0]} ${low} `, bar, ` ${number(layer.scale)} ${layer.ends[1]}`);
}
