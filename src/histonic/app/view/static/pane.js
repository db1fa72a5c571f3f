// One slide with what is laid over it. Three frames: level-0 pixels, OpenSeadragon's viewport, the screen.

import { colourOf, drawLegend, number, paintCells, strengthOf, unpack } from "./paint.js";

const OSD = window.OpenSeadragon;
const BARS_UM = [20000, 10000, 5000, 2000, 1000, 500, 200, 100, 50, 20, 10, 5];
const BARS_PX = [20000, 10000, 5000, 2000, 1000, 500, 200, 100, 50, 20, 10];

function make(tag, settings = {}, ...inside) {
  const found = Object.assign(document.createElement(tag), settings);
  found.append(...inside);
  return found;
}

export class Pane {
  constructor(place, name, get, moved, chosen) {
    this.get = get;
    this.moved = moved;
    this.chosen = chosen;
    this.slide = null;
    this.wanted = undefined;
    this.facts = null;
    this.layer = null;
    this.numbers = null;
    this.cells = null;
    this.marked = null;
    this.hidden = false;
    this.turn = { most: -1, least: -1 };
    this.asked = 0;
    this._build(place, name);
  }

  _build(place, name) {
    this.box = make("div", { className: "pane" });
    this.slideSelect = make("select");
    this.layerSelect = make("select");
    this.opacity = make("input", { type: "range", min: 0, max: 100, value: 60 });
    this.threshold = make("input", { type: "range", min: 0, max: 100, value: 0 });
    this.grey = make("input", { type: "checkbox" });
    this.thresholdWords = make("span", { className: "amount" });
    const button = (text, label, act) => {
      const found = make("button", { type: "button", textContent: text });
      found.setAttribute("aria-label", label);
      found.title = label;
      found.addEventListener("click", act);
      return found;
    };
    this.slideLabel = make("label", {}, "Slide ", this.slideSelect);
    this.layerLabel = make("label", {}, "Layer ", this.layerSelect);
    // Of no use without a layer.
    this.ofLayer = [make("label", { hidden: true }, "Colour ", this.opacity),
      make("label", { hidden: true }, "Hide below ", this.threshold, this.thresholdWords)];
    const bar = make("div", { className: "toolbar" }, this.slideLabel, this.layerLabel, ...this.ofLayer,
      make("label", { className: "check" }, this.grey, " slide in grey"),
      make("span", { className: "buttons" },
        button("+", "zoom in", () => this.zoomBy(1.5)), button("\u2212", "zoom out", () => this.zoomBy(1 / 1.5)),
        button("1:1", "one stored pixel a screen pixel", () => this.oneToOne()),
        button("whole", "the whole slide", () => this.home())));
    this.stage = make("div", { className: "stage" });
    this.overlay = make("canvas", { className: "overlay" });
    this.scale = make("div", { className: "scale" });
    this.info = make("output", { className: "info small" });
    this.said = make("div", { className: "said small" });
    this.legend = make("div", { className: "legend small" });
    this.warning = make("p", { className: "warning", hidden: true });
    this.words = make("details", { className: "words small", hidden: true });
    this.strip = make("div", { className: "strip", hidden: true });
    this.box.append(bar, this.warning, 
      make("div", { className: "sight" }, make("div", { className: "frame" }, this.stage, this.overlay, this.scale), this.strip),
      make("div", { className: "below" }, this.info, this.legend), this.said, this.words);
    this.box.setAttribute("role", "group");
    this.box.setAttribute("aria-label", name);
    place.append(this.box);
    this.viewer = OSD({
      element: this.stage, showNavigationControl: false, showNavigator: true, navigatorPosition: "TOP_RIGHT", navigatorAutoFade: false,
      navigatorWidth: "130px", navigatorHeight: "110px", navigatorBackground: "#fff", navigatorOpacity: 0.92, animationTime: 0.35, springStiffness: 9, maxZoomPixelRatio: 8, minZoomImageRatio: 0.5,
      visibilityRatio: 0.2, zoomPerScroll: 1.3, gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: true },
      loadTilesWithAjax: false, imageLoaderLimit: 6, timeout: 120000, drawer: this._drawers(),
    });
    this.viewer.innerTracker.keyHandler = null;
    this.viewer.innerTracker.keyDownHandler = null;
    this.viewer.canvas.setAttribute("aria-label", `${name}: arrows move, + and - zoom, 0 shows the whole slide`);
    for (const event of ["update-viewport", "resize", "open"]) {
      this.viewer.addHandler(event, () => { this.draw(); this.moved(this); });
    }
    // Until it is moved, the whole slide stays in sight, whatever appears beside it.
    // In the next frame: after this event OpenSeadragon zooms by itself.
    this.viewer.addHandler("resize", () => requestAnimationFrame(() => {
      if (!this.touched && this.facts && this.viewer.isOpen()) { this.viewer.viewport.goHome(true); }
    }));
    for (const event of ["canvas-drag", "canvas-scroll", "canvas-pinch", "canvas-double-click", "navigator-click"]) {
      this.viewer.addHandler(event, () => { this.touched = true; });
    }
    this.viewer.addHandler("tile-load-failed", (event) => {
      this.said.textContent = `A part of the slide could not be read (${event.message || "no answer"}).`;
    });
    this.slideSelect.addEventListener("change", () => this.chosen(this, Number(this.slideSelect.value)));
    this.layerSelect.addEventListener("change", () => this.choose(Number(this.layerSelect.value)));
    this.opacity.addEventListener("input", () => this.draw());
    this.threshold.addEventListener("input", () => this.repaint());
    this.grey.addEventListener("change", () => this.stage.classList.toggle("grey", this.grey.checked));
    this.stage.addEventListener("pointermove", (event) => this._point(event));
    this.stage.addEventListener("pointerleave", () => { this.pointed = null; this._tell(); });
  }

  _drawers() {
    // A browser without WebGL draws on a canvas.
    return ["webgl", "canvas"];
  }

  remove() {
    this.asked += 1;
    this.viewer.destroy();
    this.box.remove();
  }

  // Opens a slide; the layer with the same question as before is laid over it.
  async open(slide, choices) {
    const asked = (this.asked += 1);
    this.slide = slide;
    this.slideSelect.replaceChildren(...choices.map((choice) => make("option",
      { value: choice.number, textContent: choice.name, selected: choice.number === slide })));
    this.slideLabel.hidden = choices.length < 2;
    this.viewer.close();
    this.touched = false;
    this.facts = this.layer = this.numbers = this.cells = this.marked = null;
    this.said.textContent = "";
    let facts;
    try {
      facts = await this.get.json(`data/slides/${slide}/slide.json`);
    } catch (error) {
      if (asked === this.asked) { this._clear(); this.said.textContent = `This slide cannot be shown: ${error.message}`; }
      return;
    }
    if (asked !== this.asked) { return; }
    this.facts = facts;
    this.said.textContent = facts.notes.join(" ");
    this.layerSelect.replaceChildren(make("option", { value: -1, textContent: "none" }));
    const groups = new Map();
    facts.layers.forEach((layer, k) => {
      if (!groups.has(layer.group)) {
        groups.set(layer.group, make("optgroup", { label: layer.group }));
        this.layerSelect.append(groups.get(layer.group));
      }
      groups.get(layer.group).append(make("option", { value: k, textContent: layer.name }));
    });
    this.layerLabel.hidden = !facts.layers.length;
    const tiles = facts.tiles;
    const at = this.get.address(`data/slides/${slide}`);
    let source = null;
    if (tiles) {
      this.unit = tiles.width * tiles.factor;
      source = {
        width: tiles.width, height: tiles.height, tileSize: tiles.size, tileOverlap: tiles.overlap, minLevel: 0,
        getTileUrl: (level, col, row) => `${at}/tiles_files/${level}/${col}_${row}.${tiles.format}`,
      };
    } else {
      this.unit = facts.width;
      source = facts.picture ? { type: "image", url: `${at}/large.jpg`, buildPyramid: false } : null;
    }
    const first = this._layerOf(this.wanted);
    const opened = source === null ? this._blank() : new Promise((done) => {
      this.viewer.addOnceHandler("open", () => done());
      this.viewer.addOnceHandler("open-failed", () => done());
      this.viewer.open(source);
    });
    await Promise.all([opened, this.show(first)]);
  }

  // What was chosen last, also after slides that lack it; before any choice an explanation.
  _layerOf(wanted) {
    if (wanted === undefined) { return this._firstLayer(this.group); }
    if (wanted === null) { return -1; }
    const layers = this.facts.layers;
    const same = layers.findIndex((layer) => layer.match === wanted.match && layer.group === wanted.group);
    return same >= 0 ? same : layers.findIndex((layer) => layer.match === wanted.match);
  }

  choose(number) {
    const layer = number >= 0 ? this.facts.layers[number] : null;
    this.wanted = layer && { match: layer.match, group: layer.group };
    return this.show(number);
  }

  // An explanation comes first; else nothing lies over the slide.
  _firstLayer(group) {
    const layers = this.facts.layers;
    const own = layers.findIndex((layer) => layer.group === group && !["map", "encoder"].includes(layer.group));
    return own >= 0 ? own : layers.findIndex((layer) => !["map", "encoder"].includes(layer.group));
  }

  // Without any picture: a white one of the slide's shape, so that maps can be looked at.
  _blank() {
    const canvas = make("canvas", { width: 100, height: Math.max(1, Math.round(100 * this.facts.height / this.facts.width)) });
    const context = canvas.getContext("2d");
    context.fillStyle = "white";
    context.fillRect(0, 0, canvas.width, canvas.height);
    return new Promise((done) => {
      this.viewer.addOnceHandler("open", () => done());
      this.viewer.addOnceHandler("open-failed", () => done());
      this.viewer.open({ type: "image", url: canvas.toDataURL(), buildPyramid: false });
    });
  }

  _clear() {
    this.layerSelect.replaceChildren();
    this.legend.replaceChildren();
    this.warning.hidden = this.words.hidden = this.strip.hidden = true;
    this.draw();
  }

  async show(number) {
    const asked = this.asked;
    this.layer = this.facts && number >= 0 ? this.facts.layers[number] : null;
    this.layerSelect.value = number >= 0 ? String(number) : "-1";
    this.layerNumber = number;
    this.numbers = this.cells = this.marked = null;
    this.hidden = false;
    this.turn = { most: -1, least: -1 };
    this.legend.replaceChildren();
    this.strip.hidden = this.warning.hidden = this.words.hidden = true;
    this.threshold.value = 0;
    const [colour, threshold] = this.ofLayer;
    colour.hidden = !this.layer;
    threshold.hidden = !this.layer || this.layer.kind === "mask"; // all of its cells are alike
    this.draw();
    if (!this.layer) { this.thresholdWords.textContent = ""; return; }
    const layer = this.layer;
    let numbers;
    try {
      numbers = await this.get.json(`data/slides/${this.slide}/layers/${number}.json`);
    } catch (error) {
      this.said.textContent = `This layer cannot be shown: ${error.message}`;
      return;
    }
    if (asked !== this.asked || layer !== this.layer) { return; }
    this.numbers = { ...numbers, values: unpack(numbers.values), strength: unpack(numbers.strength) };
    drawLegend(this.legend, layer, this.numbers);
    this.warning.textContent = layer.warning;
    this.warning.hidden = !layer.warning;
    this.words.replaceChildren(make("summary", { textContent: "What this layer is" }),
      ...[layer.meaning, ...layer.notes].filter(Boolean).map((text) => make("p", { textContent: text })));
    this.words.hidden = !(layer.meaning || layer.notes.length);
    this._drawStrip();
    this.repaint();
  }

  _drawStrip() {
    const { most, least } = this.numbers;
    this.strip.replaceChildren();
    this.strip.hidden = !(most.length + least.length);
    if (this.strip.hidden) { return; }
    for (const [which, cells, words] of [["most", most, this.layer.ends[1]], ["least", least, this.layer.ends[0]]]) {
      if (!cells.length) { continue; }
      const row = make("ol", { className: "cells" });
      row.setAttribute("aria-label", `cells: ${words}`);
      cells.forEach(([r, c, value], k) => {
        const cell = make("button", { type: "button" });
        cell.title = `row ${r}, column ${c}`;
        if (this.facts.tiles) {
          const picture = make("img", { alt: "", loading: "lazy", width: 64, height: 64,
            src: this.get.address(`data/slides/${this.slide}/layers/${this.layerNumber}/${r}_${c}.jpg`) });
          picture.addEventListener("error", () => picture.remove());
          cell.append(picture);
        }
        cell.append(make("span", { textContent: number(value) }));
        cell.setAttribute("aria-label", `jump to ${words} ${number(value)}, row ${r}, column ${c}`);
        cell.addEventListener("click", () => { this.turn[which] = k; this.jump(r, c); });
        row.append(make("li", {}, cell));
      });
      this.strip.append(make("div", { className: "cells-of" }, make("h3", { textContent: words }), row));
    }
  }

  next(which) {
    if (!this.numbers || !this.numbers[which].length) { return; }
    this.turn[which] = (this.turn[which] + 1) % this.numbers[which].length;
    const [row, col] = this.numbers[which][this.turn[which]];
    this.jump(row, col);
  }

  // The cell in the middle, with as much around it as itself on each side.
  jump(row, col) {
    this.marked = [row, col];
    this.touched = true;
    const { x, y, step } = this.layer;
    const [left, top] = [(x + (col - 1) * step) / this.unit, (y + (row - 1) * step) / this.unit];
    this.viewer.viewport.fitBounds(new OSD.Rect(left, top, 3 * step / this.unit, 3 * step / this.unit));
  }

  repaint() {
    if (!this.layer || !this.numbers) { return; }
    const threshold = Number(this.threshold.value) / 100;
    const painted = paintCells(this.layer, this.numbers, threshold);
    this.cells = painted.canvas;
    const limit = this.numbers.strength ? `${this.threshold.value} %` : number(threshold * this.layer.scale);
    this.thresholdWords.textContent = ` ${limit} (${painted.shown} cells)`;
    this.draw();
  }

  // Level-0 pixels to the screen, as it is drawn now.
  onScreen(x, y) {
    return this.viewer.viewport.pixelFromPoint(new OSD.Point(x / this.unit, y / this.unit), true);
  }

  atScreen(pixel) {
    const point = this.viewer.viewport.pointFromPixel(pixel, true);
    return [point.x * this.unit, point.y * this.unit];
  }

  // Level-0 pixels per screen pixel.
  get perPixel() {
    return this.unit / (this.viewer.viewport.getZoom(true) * this.viewer.viewport.getContainerSize().x);
  }

  draw() {
    const ratio = window.devicePixelRatio || 1;
    const [wide, high] = [this.stage.clientWidth, this.stage.clientHeight];
    if (this.overlay.width !== Math.round(wide * ratio) || this.overlay.height !== Math.round(high * ratio)) {
      this.overlay.width = Math.round(wide * ratio);
      this.overlay.height = Math.round(high * ratio);
    }
    const context = this.overlay.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, this.overlay.width, this.overlay.height);
    this._drawScale();
    if (!this.viewer.isOpen() || !this.layer || !this.cells) { return; }
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    const { x, y, step, rows, cols } = this.layer;
    if (!this.hidden) {
      // Only cells in sight: one picture of all would be far larger than a canvas may be.
      const [left, top] = this.atScreen(new OSD.Point(0, 0));
      const [right, bottom] = this.atScreen(new OSD.Point(wide, high));
      const c0 = Math.max(0, Math.floor((left - x) / step)), c1 = Math.min(cols, Math.ceil((right - x) / step));
      const r0 = Math.max(0, Math.floor((top - y) / step)), r1 = Math.min(rows, Math.ceil((bottom - y) / step));
      if (c1 > c0 && r1 > r0) {
        const from = this.onScreen(x + c0 * step, y + r0 * step), to = this.onScreen(x + c1 * step, y + r1 * step);
        context.globalAlpha = Number(this.opacity.value) / 100;
        context.imageSmoothingEnabled = false;
        context.drawImage(this.cells, c0, r0, c1 - c0, r1 - r0, from.x, from.y, to.x - from.x, to.y - from.y);
        context.globalAlpha = 1;
      }
    }
    if (this.marked) {
      const [row, col] = this.marked;
      const from = this.onScreen(x + col * step, y + row * step), to = this.onScreen(x + (col + 1) * step, y + (row + 1) * step);
      for (const [width, colour] of [[4, "white"], [2, "black"]]) {
        context.lineWidth = width;
        context.strokeStyle = colour;
        context.strokeRect(from.x, from.y, to.x - from.x, to.y - from.y);
      }
    }
  }

  _drawScale() {
    if (!this.viewer.isOpen() || !this.facts) { this.scale.hidden = true; return; }
    const perPixel = this.perPixel;
    const mpp = this.facts.mpp;
    const real = mpp === null ? perPixel : perPixel * mpp;
    const most = Math.min(200, this.stage.clientWidth / 4) * real;
    const length = (mpp === null ? BARS_PX : BARS_UM).find((each) => each <= most);
    this.scale.hidden = !length;
    if (length) {
      this.scale.style.width = `${length / real}px`;
      this.scale.textContent = mpp === null ? `${length} px` : length >= 1000 ? `${length / 1000} mm` : `${length} \u00b5m`;
    }
    this._tell();
  }

  _point(event) {
    if (!this.viewer.isOpen() || !this.facts) { return; }
    const box = this.stage.getBoundingClientRect();
    this.pointed = this.atScreen(new OSD.Point(event.clientX - box.left, event.clientY - box.top));
    this._tell();
  }

  _tell() {
    if (!this.facts || !this.viewer.isOpen()) { this.info.textContent = ""; return; }
    const parts = [];
    const mpp = this.facts.mpp;
    if (mpp === null) { parts.push("resolution not known"); } else {
      parts.push(`screen ${number(this.perPixel * mpp)} \u00b5m/px, slide ${Number(mpp.toPrecision(4))} \u00b5m/px`);
    }
    if (this.pointed) {
      const [x, y] = this.pointed;
      parts.push(`x ${Math.round(x)}, y ${Math.round(y)}`);
      if (this.layer && this.numbers) {
        const col = Math.floor((x - this.layer.x) / this.layer.step), row = Math.floor((y - this.layer.y) / this.layer.step);
        if (col >= 0 && row >= 0 && col < this.layer.cols && row < this.layer.rows) {
          const at = row * this.layer.cols + col, value = this.numbers.values[at];
          if (!Number.isNaN(value)) {
            parts.push(`cell r${row} c${col}: ` + (this.layer.kind === "classes"
              ? `${this.layer.classes[value]}${this.numbers.strength && this.layer.group === "encoder" ? ` (${number(strengthOf(this.layer, this.numbers, at))})` : ""}`
              : this.layer.kind === "mask" ? this.layer.ends[1] : number(value)));
          }
        }
      }
    }
    this.info.textContent = parts.join(" \u00b7 ");
  }

  zoomBy(factor) {
    if (!this.viewer.isOpen()) { return; }
    this.touched = true;
    this.viewer.viewport.zoomBy(factor);
    this.viewer.viewport.applyConstraints();
  }

  panBy(right, down) {
    const view = this.viewer.viewport;
    if (!this.viewer.isOpen()) { return; }
    this.touched = true;
    view.panBy(view.deltaPointsFromPixels(new OSD.Point(right, down)));
    view.applyConstraints();
  }

  home() { if (this.viewer.isOpen()) { this.touched = false; this.viewer.viewport.goHome(); } }

  oneToOne() {
    if (!this.viewer.isOpen()) { return; }
    this.touched = true;
    const view = this.viewer.viewport;
    const ratio = window.devicePixelRatio || 1;
    view.zoomTo(this.unit / (view.getContainerSize().x * ratio));
  }

  toggle() { this.hidden = !this.hidden; this.draw(); }

  stepLayer(by) {
    if (!this.facts) { return; }
    const count = this.facts.layers.length + 1;
    const now = this.layer ? this.layerNumber + 1 : 0;
    this.choose(((now + by + count) % count) - 1);
  }

  // Middle in microns (or pixels, where none are known) and microns per screen pixel.
  get place() {
    const mpp = this.facts && this.facts.mpp !== null ? this.facts.mpp : 1;
    const middle = this.viewer.viewport.getCenter(false);
    const zoom = this.viewer.viewport.getZoom(false);
    return { x: middle.x * this.unit * mpp, y: middle.y * this.unit * mpp,
      size: this.unit * mpp / (zoom * this.viewer.viewport.getContainerSize().x) };
  }

  set place(wanted) {
    const mpp = this.facts && this.facts.mpp !== null ? this.facts.mpp : 1;
    const view = this.viewer.viewport;
    this.touched = true;
    view.zoomTo(this.unit * mpp / (wanted.size * view.getContainerSize().x), null, false);
    view.panTo(new OSD.Point(wanted.x / (this.unit * mpp), wanted.y / (this.unit * mpp)), false);
  }
}

export { colourOf };
