// The main lane: wavesurfer with overview, time line, marks and the selection.

import { el } from "./dom.js";
import { peaksOf } from "./lanes.js";
import { role } from "./roles.js";

const MAX_ZOOM = 400; // pixels to a second
const SELECTION = "rgba(255, 255, 255, 0.18)";

export class Wave extends EventTarget {
  first = null; // what of another song is in view at first, if not all
  #regions; #surfer; #selection = null; #shown = ""; #wanted = []; #ready = false; #quiet = false; #marks = "[]"; #dragged = false; #stale = false;

  /** @param media what plays; @param nonce for wavesurfer's own style element */
  constructor(container, overview, media, nonce) {
    super();
    this.container = container;
    const common = { cspNonce: nonce, waveColor: "#9fb3c8", progressColor: "#9fb3c8", cursorColor: "#ffffff" };
    this.#regions = WaveSurfer.Regions.create();
    this.#surfer = WaveSurfer.create({
      ...common, container, media, height: 112, cursorWidth: 0, dragToSeek: false, autoCenter: false, sampleRate: 8000,
      plugins: [
        this.#regions,
        WaveSurfer.Timeline.create({ height: 18 }),
        WaveSurfer.Minimap.create({ ...common, container: overview, height: 30, overlayColor: "rgba(255,255,255,0.18)" }),
      ],
    });
    this.#surfer.on("scroll", () => this.#looked());
    this.#surfer.on("redrawcomplete", () => this.#looked());
    this.#surfer.on("ready", () => { this.#ready = true; this.#looked(); this.#repaint(); });
    this.#regions.enableDragSelection({ color: SELECTION });
    this.#regions.on("region-created", (region) => { if (!this.#quiet) { this.#dragged = false; this.#selected(region); } });
    this.#regions.on("region-update", () => { this.#dragged = true; });
    this.#regions.on("region-updated", (region) => {
      this.#dragged = false;
      if (region !== this.#selection) this.#stale = true; // whatever the server makes of it is painted
      else if (this.#stale) this.#repaint();
      const detail = { id: region.id, start: region.start, stop: region.end };
      if (region === this.#selection) this.#changed();
      else this.dispatchEvent(new CustomEvent("moved", { detail }));
    });
    this.#regions.on("region-clicked", (region, event) => {
      event.stopPropagation();
      if (region === this.#selection) media.currentTime = this.#timeAt(event);
      else this.dispatchEvent(new CustomEvent("picked", { detail: region.id }));
    });
  }

  #timeAt(event) {
    const box = this.#surfer.getWrapper().getBoundingClientRect();
    return (event.clientX - box.left) / box.width * this.duration;
  }

  /** Show a track from end to end; the zoom stays. */
  show(track, version, duration) {
    this.#wanted = [track, version, duration];
    const known = peaksOf(track, version, () => this.show(...this.#wanted)), found = known.value, shown = `${track} ${known.version} ${duration}`;
    if (!found || shown === this.#shown) return;
    const same = this.duration === duration, view = this.view;
    this.#shown = shown;
    this.duration = duration;
    const low = new Float32Array(found.length / 2), high = new Float32Array(found.length / 2);
    for (let i = 0; i < low.length; i++) { low[i] = found[2 * i] / 127; high[i] = found[2 * i + 1] / 127; }
    this.#ready = false;
    this.#surfer.load("", [high, low], duration).then(() => { if (same || this.first) this.lookAt(same ? view : this.first); }, () => {});
  }

  get view() {
    const width = this.#surfer.getWrapper().scrollWidth || 1, seen = this.#surfer.getWidth();
    const start = this.#surfer.getScroll() / width * (this.duration ?? 1);
    return [start, Math.min(start + seen / width * (this.duration ?? 1), this.duration ?? 1)];
  }

  /** Zoom so that a passage fills the lane. */
  lookAt([start, stop]) {
    if (!this.duration) return;
    const wanted = Math.min(this.#surfer.getWidth() / Math.max(stop - start, 0.01), MAX_ZOOM);
    this.#surfer.zoom(wanted);
    this.#surfer.setScrollTime(Math.max(start, 0));
    this.#looked();
  }

  zoom(factor, around) {
    const [start, stop] = this.view, centre = around >= start && around <= stop ? around : (start + stop) / 2;
    const length = Math.min((stop - start) / factor, this.duration);
    const from = Math.min(Math.max(centre - (centre - start) / factor, 0), this.duration - length);
    this.lookAt([from, from + length]);
  }

  #looked() { this.dispatchEvent(new Event("view")); }

  get selection() { return this.#selection && [this.#selection.start, this.#selection.end]; }

  select(start, stop) {
    if (stop <= start) return;
    this.#selected(this.#add({ id: "selection", start, end: stop, color: SELECTION }));
  }

  unselect() {
    this.#selection?.remove();
    this.#selection = null;
    this.#changed();
  }

  #selected(region) {
    if (this.#selection && this.#selection !== region) this.#selection.remove();
    this.#selection = region;
    this.#changed();
  }

  #changed() { this.dispatchEvent(new Event("selection")); }

  #add(options) {
    this.#quiet = true;
    const region = this.#regions.addRegion(options);
    this.#quiet = false;
    return region;
  }

  /** Show marks `{id, role, start, stop}`. */
  marks(marks) {
    const said = JSON.stringify(marks.map(({ id, role, start, stop }) => ({ id, role, start, stop })));
    if (said === this.#marks && !this.#stale) return;
    this.#marks = said;
    this.#stale = true;
    if (this.#ready && !this.#dragged) this.#repaint(); // what is being dragged just now is not taken away
  }

  #repaint() {
    this.#stale = false;
    for (const region of this.#regions.getRegions()) if (region !== this.#selection) region.remove();
    for (const mark of JSON.parse(this.#marks)) {
      const kind = role(mark.role), label = el("span", { textContent: `${kind.sign} ${kind.label}` });
      Object.assign(label.style, {
        position: "absolute", top: kind.id === "absent" ? "auto" : "2px", bottom: kind.id === "absent" ? "2px" : "auto",
        left: "4px", font: "600 12px system-ui, sans-serif", color: "#0d0f13", background: kind.colour,
        padding: "0 5px", borderRadius: "3px", whiteSpace: "nowrap", pointerEvents: "none",
        maxWidth: "calc(100% - 8px)", overflow: "hidden", textOverflow: "ellipsis", boxSizing: "border-box",
      });
      const region = this.#add({ id: mark.id, start: mark.start, end: mark.stop, color: kind.fill, content: label });
      if (!region.element) continue;
      Object.assign(region.element.style, { borderTop: `3px solid ${kind.colour}`, borderBottom: `3px solid ${kind.colour}` });
      if (kind.id === "absent") {
        region.element.style.backgroundImage =
          "repeating-linear-gradient(135deg, rgba(255,138,92,.35) 0 4px, transparent 4px 12px)";
      }
    }
  }
}
