// Draws tracks on canvases: peaks and spectrograms for what is in view, from what the server sends.

import * as api from "./api.js";

const HOP = 256, COLUMNS = 256, BANDS = 96, KEPT = 400, RENEW_MS = 1500;

/** Black, blue, orange, white: even in brightness, and told apart by colour-blind people (a cut of "cividis"). */
const COLOURS = new Uint8ClampedArray(256 * 4);
const STOPS = [[0, 8, 20], [0, 42, 92], [62, 77, 108], [124, 123, 120], [188, 174, 108], [255, 234, 70]];
for (let level = 0; level < 256; level++) {
  const place = Math.min(Math.max(level - 80, 0) / 150, 1) ** 1.2 * (STOPS.length - 1), low = Math.min(Math.floor(place), STOPS.length - 2);
  STOPS[low].forEach((value, i) => { COLOURS[level * 4 + i] = value + (STOPS[low + 1][i] - value) * (place - low); });
  COLOURS[level * 4 + 3] = 255;
}

const tiles = new Map(), peaks = new Map();

/** What is fetched by a key, in the version wanted or, until that is there, the one before; `then` is called when it comes. */
function kept(map, key, version, fetch, then) {
  const entry = map.get(key) ?? { value: null, version: null, asked: false };
  map.delete(key); // what was wanted last comes last, and goes last
  map.set(key, entry);
  if (map.size > KEPT) map.delete(map.keys().next().value);
  if (entry.version !== version && !entry.asked) { // one at a time: what changes all the time is shown as fast as it comes
    entry.asked = true;
    fetch().then((value) => { Object.assign(entry, { value, version, asked: false }); then(); }, () => { entry.asked = false; });
  }
  return entry;
}

function picture(bytes) {
  const canvas = new OffscreenCanvas(COLUMNS, BANDS), context = canvas.getContext("2d");
  const image = context.createImageData(COLUMNS, BANDS);
  for (let band = 0; band < BANDS; band++) {
    for (let column = 0; column < COLUMNS; column++) {
      const level = bytes[band * COLUMNS + column] * 4, at = ((BANDS - 1 - band) * COLUMNS + column) * 4;
      for (let i = 0; i < 4; i++) image.data[at + i] = COLOURS[level + i];
    }
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

/** The peaks of a whole track, see `kept`. */
export const peaksOf = (track, version, then) => kept(peaks, track, version, () => api.peaks(track), then);
export const forget = () => { peaks.clear(); tiles.clear(); };

export class Lane {
  #asked = false; #renewed = 0; #later = 0;

  /** @param waveHeight pixels for the waveform on top; the spectrogram takes what is left. */
  constructor(canvas, rate, waveHeight, colour) {
    Object.assign(this, { canvas, rate, waveHeight, colour, track: null, version: "", known: 0, view: [0, 1] });
  }

  /** Show a track, whose first `known` seconds are there; what changes all the time is followed with some delay. */
  show(track, version, known) {
    if (track === this.track && version === this.version && known === this.known) return;
    clearTimeout(this.#later);
    const wait = track === this.track ? this.#renewed + RENEW_MS - performance.now() : 0;
    this.#later = setTimeout(() => {
      this.#renewed = performance.now();
      Object.assign(this, { track, version, known });
      this.draw();
    }, Math.max(wait, 0));
  }

  look(view) {
    this.view = view;
    this.draw();
  }

  draw() {
    if (this.#asked) return;
    this.#asked = true;
    requestAnimationFrame(() => { this.#asked = false; this.#draw(); });
  }

  #draw() {
    const { canvas } = this, scale = devicePixelRatio || 1;
    const width = Math.round(canvas.clientWidth * scale), height = Math.round(canvas.clientHeight * scale);
    if (!width || !height) return;
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const context = canvas.getContext("2d"), wave = Math.round(this.waveHeight * scale);
    context.fillStyle = "#0d0f13";
    context.fillRect(0, 0, width, height);
    if (!this.track) return;
    if (wave) this.#wave(context, width, wave);
    this.#spectrogram(context, width, wave, height - wave);
  }

  #wave(context, width, height) {
    const found = peaksOf(this.track, `${this.version} ${this.known}`, () => this.draw()).value;
    if (!found) return;
    const [start, stop] = this.view, perPixel = (stop - start) * this.rate / HOP / width;
    const first = start * this.rate / HOP, middle = height / 2;
    context.fillStyle = this.colour;
    for (let x = 0; x < width; x++) {
      const from = Math.floor(first + x * perPixel), to = Math.max(Math.ceil(first + (x + 1) * perPixel), from + 1);
      let low = 127, high = -127;
      for (let i = Math.max(from, 0); i < Math.min(to, found.length / 2); i++) {
        low = Math.min(low, found[2 * i]);
        high = Math.max(high, found[2 * i + 1]);
      }
      if (high >= low) context.fillRect(x, middle - high / 127 * middle, 1, Math.max((high - low) / 127 * middle, 1));
    }
  }

  #spectrogram(context, width, top, height) {
    const [start, stop] = this.view, perPixel = (stop - start) * this.rate / HOP / width;
    const level = Math.min(Math.max(Math.floor(Math.log2(perPixel)), 0), 24);
    const seconds = HOP * 2 ** level * COLUMNS / this.rate;
    for (let index = Math.max(Math.floor(start / seconds), 0); index * seconds < Math.min(stop, this.known); index++) {
      const image = kept(tiles, `${this.track} ${level} ${index}`, `${this.version} ${Math.min((index + 1) * seconds, this.known)}`,
        async () => picture(await api.tile(this.track, level, index)), () => this.draw()).value;
      const x = (index * seconds - start) / (stop - start) * width;
      if (image) context.drawImage(image, x, top, seconds / (stop - start) * width, height);
    }
  }
}

/** Lines where bars begin, over the main lane. */
export function drawBars(canvas, bars, [start, stop]) {
  const width = canvas.clientWidth, height = canvas.clientHeight;
  Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d"), seen = bars.filter((time) => time >= start && time <= stop);
  if (seen.length > width / 6) return;
  context.fillStyle = "rgba(255, 255, 255, 0.28)";
  for (const time of seen) context.fillRect(Math.round((time - start) / (stop - start) * width), 0, 1, height);
}
