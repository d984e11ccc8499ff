// The stack of stems and the residual: a row each, with its place in the mix, its picture, and what can be done to it.

import { el, refresh } from "./dom.js";
import { Lane } from "./lanes.js";

const COLOURS = ["#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#f0e442", "#d55e00", "#0072b2"];

export class Stems {
  #rows = new Map(); #solo = new Set(); #muted = new Set(); #levels = new Map();

  /** @param act `{edit, pick(stem), download(what), mixed()}`; `edit` resolves to whether it was done. */
  constructor(container, rate, act) { Object.assign(this, { container, rate, act }); }

  /** How loud each track is: those with solo, else all that are not muted. */
  volumes(state) {
    const tracks = [...state.stems.filter((stem) => stem.result).map((stem) => stem.id), "residual"];
    const solos = tracks.filter((id) => this.#solo.has(id));
    return new Map(tracks.map((id) => {
      const heard = solos.length ? this.#solo.has(id) : !this.#muted.has(id);
      return [id, heard ? this.#levels.get(id) ?? 1 : 0];
    }));
  }

  soloOnly(id) {
    this.#solo = new Set([id]);
    this.#pressed();
  }

  show(state, selected, view) {
    const ids = [...state.stems.map((stem) => stem.id), "residual"];
    const said = state.stems.map((stem) => [stem.id, stem.name]);
    if (refresh(this.container, said, () => ids.map((id, place) => this.#row(id, state, place)))) this.#pressed();
    for (const stem of [...state.stems, { id: "residual", result: { version: state.residual } }]) {
      const row = this.#rows.get(stem.id);
      row.element.classList.toggle("selected", stem.id === selected);
      if (row.radio) row.radio.checked = stem.id === selected;
      row.element.classList.toggle("empty", !stem.result);
      row.note.textContent = note(stem);
      row.lane.look(view);
      if (stem.result) row.lane.show(stem.id, stem.result.version, state.song.known);
      else if (row.lane.track) Object.assign(row.lane, { track: null, version: "" });
      for (const button of row.needs) button.disabled = !(stem.result?.whole ?? state.stems.some((one) => one.result?.whole));
    }
  }

  look(view) { for (const row of this.#rows.values()) row.lane.look(view); }

  #row(id, state, place) {
    const stem = state.stems.find((one) => one.id === id), name = stem?.name ?? "residual";
    const press = (set) => () => { set().has(id) ? set().delete(id) : set().add(id); this.#pressed(); this.act.mixed(); };
    const solo = el("button", { title: "Solo: hear only this", "aria-label": `Solo ${name}`, onclick: press(() => this.#solo), data: { focus: `${id} solo` } }, "S");
    const mute = el("button", { title: "Mute", "aria-label": `Mute ${name}`, onclick: press(() => this.#muted), data: { focus: `${id} mute` } }, "M");
    const level = el("input", {
      type: "range", min: 0, max: 2, step: 0.05, value: this.#levels.get(id) ?? 1, "aria-label": `Level of ${name}`, title: "Level",
      data: { focus: `${id} level` },
      oninput: (event) => { this.#levels.set(id, Number(event.target.value)); say(); this.act.mixed(); },
    });
    const say = () => level.setAttribute("aria-valuetext", level.title = decibels(Number(level.value)));
    say();
    const save = el("button", { title: "Save as a file", "aria-label": `Save ${name}`, onclick: () => this.act.download(id), data: { focus: `${id} save` } }, "Save");
    const canvas = el("canvas", { height: 84 }), noteLine = el("p", { className: "note" });
    const head = [], tail = [save];
    let radio = null;
    if (stem) {
      radio = el("input", { type: "radio", name: "selected", "aria-label": `Work on ${name}`, title: "Work on this stem", onchange: () => this.act.pick(id), data: { focus: `${id} pick` } });
      head.push(radio, el("input", {
        className: "name", value: name, "aria-label": `Name of ${name}`, maxLength: 80, spellcheck: false, data: { focus: `${id} name` },
        onclick: () => this.act.pick(id), // not with the focus: Tab goes over all names on its way to the evidence
        onchange: (event) => this.act.edit({ do: "rename", stem: id, name: event.target.value }).then((done) => { if (!done) event.target.value = name; }),
      }));
      const move = (by, text, words, disabled) => el("button", {
        title: words, "aria-label": `${words}: ${name}`, disabled, data: { focus: `${id} ${words}` },
        onclick: () => this.act.edit({ do: "order", stem: id, by }),
      }, text);
      tail.unshift(move(-1, "▲", "Move up", place === 0), move(1, "▼", "Move down", place === state.stems.length - 1));
      head.push(el("button", {
        title: "Remove: its sound goes back to the residual", "aria-label": `Remove ${name}`, data: { focus: `${id} remove` },
        onclick: () => this.act.edit({ do: "remove", stem: id }),
      }, "×"));
    } else head.push(el("span", { className: "name" }, "Residual: all the rest"));
    const element = el("div", { className: "lane row", data: { track: id } },
      el("div", { className: "gutter" }, el("div", { className: "group" }, ...head),
        el("div", { className: "group" }, solo, mute, level, ...tail), noteLine), canvas);
    const colour = stem ? COLOURS[place % COLOURS.length] : "#9aa4b1";
    this.#rows.set(id, { element, solo, mute, radio, note: noteLine, needs: [save], lane: new Lane(canvas, this.rate, 36, colour) });
    element.style.setProperty("--colour", colour);
    return element;
  }

  #pressed() {
    for (const [id, row] of this.#rows) {
      row.solo.setAttribute("aria-pressed", this.#solo.has(id));
      row.mute.setAttribute("aria-pressed", this.#muted.has(id));
    }
  }
}

const decibels = (level) => level ? `Level: ${(20 * Math.log10(level)).toFixed(1)} dB`.replace("-", "−") : "Level: silent";

function note({ result, id }) {
  if (id === "residual") return "";
  if (!result) return "not separated yet";
  const level = result.level === null ? "" : `${result.level.toFixed(0)} dB re the song`.replace("-", "−");
  const what = result.kind === "preview" ? "preview" : result.whole ? "" : "in part";
  return [what, level, result.fresh ? "" : "evidence has changed since"].filter(Boolean).join(", ");
}
