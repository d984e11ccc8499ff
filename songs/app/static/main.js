// The page: what the server says is shown; what the user does is sent there, and comes back as a new state.

import * as api from "./api.js";
import { byId, clock, el, refresh } from "./dom.js";
import { evidence } from "./evidence.js";
import { KEYS, listenToKeys } from "./keys.js";
import { Lane, drawBars, forget } from "./lanes.js";
import { Player } from "./player.js";
import { ROLES } from "./roles.js";
import { Stems } from "./stems.js";
import { Wave } from "./wave.js";

const PREVIEW_SECONDS = 10;
const FIRST_SECONDS = 60; // in view at first of a song that is still being read
const DOING = { song: "Taking in the song", reading: "Reading the song", preview: "Preview", separate: "Separating", bars: "Finding bars", model: "Loading the model" };

const player = new Player();
let state = null, selected = null, wave = null, stems = null, lane = null, songId = null;
let bars = [], knownBars = null, listening = "song", waiting = null;
let errors = Number(sessionStorage.getItem("errors")); // how many were shown; a page that is loaded again does not repeat them
let before = null; // the stems' ids when the next one was asked for, until it is there

// What happens to errors: one line on top, until it is closed or something succeeds.
function notice(text) {
  const box = byId("notice");
  box.hidden = !text;
  box.replaceChildren(text, el("button", { onclick: () => notice("") }, "Close"));
}
/** Whether what was asked for is done; if not, it is said why. */
const done = (asked) => asked.then(() => { notice(""); return true; }, (error) => { notice(error.message); return false; });
const edit = (said) => done(api.edit(said));
const run = (said) => done(api.run(said));

const stem = () => state?.stems?.find((one) => one.id === selected);
const source = () => `before-${selected}`;

function show(next) {
  state = next;
  byId("start").hidden = Boolean(state.song);
  byId("work").hidden = !state.song;
  for (const id of ["save-session", "open-session", "close-song"]) byId(id).hidden = !state.song;
  byId("song-name").textContent = state.song
    ? [`${state.song.name}, ${clock(state.song.seconds)}`, ...state.warnings].join("; ") : "";
  document.title = state.song ? `${state.song.name} - fewshot-sep` : "fewshot-sep";
  if (state.error.number !== errors) notice(state.error.text);
  sessionStorage.setItem("errors", errors = state.error.number);
  showProgress();
  if (!state.song) { songId = null; showRecent(); return; }
  if (state.song.id !== songId) openSong();
  player.resize(state.song);
  const begun = before && state.stems.find(({ id }) => !before.includes(id));
  if (begun) [selected, before] = [begun.id, null];
  if (!stem()) selected = state.stems.at(-1).id;
  showWork();
}

function showRecent() {
  refresh(byId("recent"), state.recent, () => !state.recent.length ? [] : [
    el("h2", {}, "Go on with"),
    el("ul", {}, ...state.recent.map(({ id, name }) => el("li", {},
      el("button", { onclick: () => run({ do: "open", id }) }, name),
      el("button", { onclick: () => forgetSong(id, name), "aria-label": `Forget ${name}` }, "Forget")))),
  ]);
}

function forgetSong(id, name) {
  if (confirm(`Remove ${name}, its marks and its stems from this machine's working folder?`)) run({ do: "forget", id });
}

function openSong() {
  songId = state.song.id;
  selected = state.stems.at(-1).id;
  knownBars = null;
  bars = [];
  player.open(state.song);
  loop(null);
  forget();
  wave ??= makeWave();
  wave.unselect();
  wave.first = state.song.known < state.song.seconds ? [0, FIRST_SECONDS] : null;
  lane = new Lane(byId("spectrogram"), state.song.rate, 0, "");
  byId("rows").said = null;
  stems = new Stems(byId("rows"), state.song.rate, {
    edit, mixed: mix, pick: (id) => { selected = id; showWork(); }, download,
  });
  listening = "song";
}

function makeWave() {
  const made = new Wave(byId("wave"), byId("overview"), player, document.querySelector("meta[name=nonce]").content);
  made.addEventListener("view", look);
  made.addEventListener("selection", showSelection);
  made.addEventListener("moved", ({ detail: { id, start, stop } }) =>
    edit({ do: "change", stem: selected, item: id, start, stop }));
  made.addEventListener("picked", ({ detail }) => {
    const mark = stem().marks.find((one) => one.id === detail);
    if (mark) player.currentTime = mark.start;
    document.querySelector(`#marks li[data-item="${CSS.escape(detail)}"] select`)?.focus({ preventScroll: true });
  });
  return made;
}

/** Draw what is in view; returns it, in seconds. */
function look() {
  if (!state?.song || !lane) return [0, 0];
  lane.look(wave.view);
  stems.look(wave.view);
  drawBars(byId("bars"), bars, wave.view);
  shadeUnread();
  return wave.view;
}

/** What is not read yet is grey, in the overview and in what is in view. */
function shadeUnread() {
  const { known, seconds } = state.song, [start, stop] = wave.view;
  for (const [id, share] of [["unread-all", known / seconds], ["unread", (known - start) / (stop - start)]]) {
    byId(id).style.left = `${Math.min(Math.max(share, 0), 1) * 100}%`;
    byId(id).hidden = known >= seconds || share >= 1;
  }
}

function showWork() {
  const now = stem();
  byId("source-name").textContent = now.minus.length ? `Song without ${now.minus.join(", ")}` : "Song";
  wave.show(source(), `${now.mixture} ${state.song.known}`, state.song.seconds);
  wave.marks(now.marks);
  lane.show(source(), now.mixture, state.song.known);
  lane.look(wave.view);
  shadeUnread();
  stems.show(state, selected, wave.view);
  refresh(byId("marks"), [now.id, now.marks, now.clips, state.roles], () => evidence(now, state.roles, { edit, play: playMark }));
  byId("evidence-title").textContent = `Evidence for ${now.name}`;
  refresh(byId("settings"), [now.id, now.grid, now.residual_pass], () => settings(now));
  byId("undo").disabled = !state.undo;
  byId("redo").disabled = !state.redo;
  const shown = [...now.marks, ...now.clips].some(({ role }) => role === "alone" || role === "among" && (!state.ready || state.roles.includes(role)));
  byId("preview").disabled = byId("separate").disabled = !shown;
  byId("separate").title = shown ? "Separate the whole song (S)" : "Mark where the instrument plays alone, or drop a clip of it first";
  byId("next").disabled = !now.result?.whole;
  byId("download-all").disabled = !state.stems.some((one) => one.result?.whole);
  byId("wave").setAttribute("aria-valuemax", state.song.seconds.toFixed(1));
  showOutcome(now);
  if (state.bars !== knownBars) {
    knownBars = state.bars;
    if (state.bars !== null) api.bars().then((found) => { bars = found; look(); }, () => {});
  }
  mix();
  heardAnew(now);
}

const cancellable = (job) => ["preview", "separate", "song"].includes(job?.kind);
/** Whether a stem is looked for just now. */
const finding = () => ["preview", "separate"].includes(state.job?.kind);

/** When samples have changed, hear the new ones; when a result was asked for and is there, go to it. */
const heard = new Map();
function heardAnew(now) {
  const version = `${songId} ${now.id} ${now.result?.version}`, working = finding();
  if (heard.get(now.id) !== version && !working) {
    heard.set(now.id, version);
    player.refetch();
  }
  if (waiting && !working && now.id === waiting.stem && now.result?.fresh && now.result.start <= waiting.start + 0.01 && now.result.stop >= waiting.stop - 0.01) {
    if (waiting.kind === "preview" && player.paused) player.currentTime = waiting.start;
    waiting = null;
    stems.soloOnly(now.id);
    listen("stems");
  }
}

function showOutcome({ result }) {
  const said = result && result.fresh && !finding() ? result : null, box = byId("outcome");
  refresh(box, said && [said.kind, said.start, said.stop, said.warnings], () => {
    if (!said) return [];
    const what = said.kind === "preview" ? `Preview of ${clock(said.start)} to ${clock(said.stop)}: compare with A` : said.whole ? "Separated: compare with A" : `Separated up to ${clock(said.stop)}`;
    if (!said.warnings.length) return [what];
    return [[what, ...said.warnings].join("; "), " ", el("a", { href: "#try", onclick: (event) => { event.preventDefault(); help("try"); } }, "What to try next")];
  });
  box.classList.toggle("absent", Boolean(said?.warnings.length));
}

function showProgress() {
  const job = state.job, seen = job && job.kind !== "evidence" && DOING[job.kind];
  byId("progress").hidden = !seen;
  const place = state.song ? byId("run") : byId("start");
  if (byId("progress").parentElement !== place) place.append(byId("progress"));
  if (!seen) { byId("share").removeAttribute("value"); return; }
  const measured = job.kind !== "bars" && job.kind !== "model"; // these are mostly done in one piece
  if (measured) byId("share").value = job.share;
  else byId("share").removeAttribute("value");
  const left = job.left === null ? "" : `, ${job.left < 90 ? `${Math.ceil(job.left)} s` : `${Math.round(job.left / 60)} min`} left`;
  byId("doing").textContent = measured ? `${DOING[job.kind]} ${Math.round(job.share * 100)} %${left}${job.kind === "reading" ? "; what is read can be marked" : ""}` : `${DOING[job.kind]}; you can go on meanwhile`;
  byId("cancel").hidden = !cancellable(job);
}

function settings(now) {
  const set = (what) => edit({ do: "set", stem: now.id, ...what });
  const grids = [["auto", "at bars, where they are found"], ["downbeat", "at bars"], ["beat", "every few beats"], ["none", "nowhere"]];
  return [
    el("label", {}, "Cut the song", el("select", { data: { focus: "grid" }, onchange: (event) => set({ grid: event.target.value }) },
      ...grids.map(([value, words]) => el("option", { value, selected: value === now.grid }, words)))),
    el("label", {}, el("input", { type: "checkbox", checked: now.residual_pass, data: { focus: "residual" }, onchange: (event) => set({ residual_pass: event.target.checked }) }),
      "Tell it apart from all else in the song, too: cleaner, takes twice as long"),
  ];
}

function showSelection() {
  const selection = wave.selection;
  for (const button of byId("marking").children) button.disabled = !selection;
  byId("hint").textContent = selection
    ? `Selected: ${clock(selection[0])} to ${clock(selection[1])}. What plays there?` : "Drag over the song, then say what plays there.";
  if (player.loop) player.loop = selection ?? player.loop;
}

function mix() {
  if (!state?.song || !stems) return;
  const volumes = stems.volumes(state);
  if (listening === "song") for (const id of volumes.keys()) volumes.set(id, 0);
  player.mix(new Map([[source(), listening === "song" ? 1 : 0], ...volumes]));
}

function listen(to) {
  listening = to;
  byId("listen-song").setAttribute("aria-pressed", to === "song");
  byId("listen-stems").setAttribute("aria-pressed", to === "stems");
  mix();
}

function loop(passage) {
  player.loop = passage;
  byId("loop").setAttribute("aria-pressed", Boolean(passage));
  player.refetch();
}

function playMark(mark) {
  loop([mark.start, mark.stop]);
  player.currentTime = mark.start;
  player.play();
}

function help(part) {
  byId("help").showModal();
  if (part) byId(part).scrollIntoView();
}

function download(what) {
  const [format, bits] = byId("format").value.split(" ");
  api.download("/api/download", { what, format, bits });
}

/** Let the user choose a file, and do something with it. */
function choose(accept, use) {
  const input = byId("file");
  Object.assign(input, { accept, value: "", onchange: () => input.files[0] && done(use(input.files[0])) });
  input.click();
}

const putSession = async (file) => api.putSession(await file.text());
const putClip = (role) => (file) => api.putClip(selected, role, file);
const putSong = (file) => { notice("Handing over the song"); return api.putSong(file); };

const actions = {
  play: () => (player.paused ? player.play() : player.pause()),
  loop: () => loop(player.loop ? null : wave.selection ?? wave.view),
  back: () => { player.currentTime -= 1; },
  forth: () => { player.currentTime += 1; },
  backBar: () => { player.currentTime = bars.findLast((time) => time < player.currentTime - 0.05) ?? player.currentTime - (bars.length ? state.song.seconds : 5); },
  forthBar: () => { player.currentTime = bars.find((time) => time > player.currentTime + 0.05) ?? player.currentTime + 5; },
  home: () => { player.currentTime = 0; },
  end: () => { player.currentTime = state.song.seconds; },
  from: () => wave.select(player.currentTime, Math.max(wave.selection?.[1] ?? 0, player.currentTime + 0.1)),
  to: () => wave.select(Math.min(wave.selection?.[0] ?? Math.max(player.currentTime - 4, 0), player.currentTime - 0.1), player.currentTime),
  mark: (role) => {
    if (!wave.selection) return;
    const [start, stop] = wave.selection;
    edit({ do: "mark", stem: selected, role, start, stop }).then((marked) => marked && wave.unselect());
  },
  zoomIn: () => wave.zoom(2, player.currentTime),
  zoomOut: () => wave.zoom(0.5, player.currentTime),
  zoomFit: () => wave.lookAt([0, state.song.seconds]),
  ab: () => listen(listening === "song" ? "stems" : "song"),
  preview: () => {
    const [from, to] = wave.selection && wave.selection[1] - wave.selection[0] >= 1 ? wave.selection : wave.view;
    const here = to - from > PREVIEW_SECONDS && player.currentTime >= from ? player.currentTime : from;
    const start = Math.max(Math.min(here, to - PREVIEW_SECONDS), from), stop = Math.min(to, start + PREVIEW_SECONDS);
    waiting = { stem: selected, kind: "preview", start, stop };
    run({ do: "preview", stem: selected, start, stop });
  },
  separate: () => { waiting = { stem: selected, kind: "separate", start: 0, stop: state.song.seconds }; run({ do: "separate", stem: selected }); },
  next: () => {
    before = state.stems.map(({ id }) => id);
    edit({ do: "next" }).then((begun) => { if (begun) { waiting = null; listen("song"); } else before = null; });
  },
  cancel: () => { waiting = null; return cancellable(state.job) ? run({ do: "cancel" }) : wave.unselect(); },
  undo: () => edit({ do: "undo" }),
  redo: () => edit({ do: "redo" }),
  remove: () => {
    const item = document.activeElement?.closest("[data-item]")?.dataset.item;
    if (item) edit({ do: "delete", stem: selected, item });
  },
  help: () => help(),
};

const BUTTONS = {
  play: "play", loop: "loop", "zoom-in": "zoomIn", "zoom-out": "zoomOut", "zoom-fit": "zoomFit", undo: "undo", redo: "redo",
  preview: "preview", separate: "separate", next: "next", cancel: "cancel", "show-help": "help",
};
for (const [id, action] of Object.entries(BUTTONS)) byId(id).onclick = () => actions[action]();
for (const role of ROLES) {
  byId("marking").append(el("button", { className: `role-${role.id}`, disabled: true, title: `${role.label} (${role.key})`, onclick: () => actions.mark(role.id) },
    `${role.sign} ${role.label}`));
}
byId("listen-song").onclick = () => listen("song");
byId("listen-stems").onclick = () => listen("stems");
byId("choose-song").onclick = byId("open-song").onclick = () => choose("audio/*,video/*", putSong);
byId("demo").onclick = () => done(api.demo());
for (const role of ["alone", "absent"]) byId(`add-${role}`).onclick = () => choose("audio/*,video/*", putClip(role));
byId("open-session").onclick = () => choose("application/json,.json", putSession);
byId("save-session").onclick = () => api.download("/api/session");
byId("close-song").onclick = () => forgetSong(songId, state.song.name);
byId("download-all").onclick = () => download("all");
byId("keys").append(...KEYS.flatMap(([keys, words]) => [el("dt", {}, el("kbd", {}, keys)), el("dd", {}, words)]));
listenToKeys(actions, () => Boolean(state?.song) && !byId("help").open);
// After a click the keyboard is the page's again: space plays, it does not press the button once more.
document.addEventListener("click", (event) => { if (event.detail > 0) event.target.closest("button")?.blur(); });

addEventListener("dragover", (event) => { event.preventDefault(); document.body.classList.add("dropping"); });
addEventListener("dragleave", () => document.body.classList.remove("dropping"));
addEventListener("drop", async (event) => {
  event.preventDefault();
  document.body.classList.remove("dropping");
  const role = event.target.closest?.("[data-drop]")?.dataset.drop ?? "alone";
  for (const file of event.dataTransfer.files) {
    const use = file.name.endsWith(".json") ? putSession : state?.song ? putClip(role) : putSong;
    await done(use(file));
  }
});
for (const [name, text] of [["play", "Pause"], ["pause", "Play"]]) {
  player.addEventListener(name, () => { byId("play").textContent = text; });
}

/** The line that moves over all lanes, and the time. */
function tick() {
  if (state?.song && wave?.duration) {
    const picture = byId("picture"), [start, stop] = wave.view, now = player.currentTime, line = byId("playhead");
    const x = picture.offsetLeft + (now - start) / (stop - start) * picture.clientWidth;
    line.hidden = now < start || now > stop;
    line.style.transform = `translateX(${x}px)`;
    const text = clock(now), slider = byId("wave"), whole = String(Math.floor(now));
    if (byId("time").value !== text) byId("time").value = text;
    if (slider.getAttribute("aria-valuenow") !== whole || !slider.hasAttribute("aria-valuetext")) { // once a second: it is read out
      slider.setAttribute("aria-valuenow", whole);
      slider.setAttribute("aria-valuetext", text);
    }
  }
  requestAnimationFrame(tick);
}
requestAnimationFrame(tick);
addEventListener("resize", look);
api.listen((next) => { if (byId("notice").dataset.lost) { delete byId("notice").dataset.lost; notice(""); } show(next); },
  () => { byId("notice").dataset.lost = "yes"; notice("The program does not answer. What was marked is kept; start it again to go on."); });

export { look, player }; // for tests: import("/static/main.js") gives the page's own
