// Plays all tracks in sync at sample accuracy: pieces of raw samples, fetched by ranges, started at common times.
// It has the face of a media element, as far as wavesurfer needs one.

import { samples } from "./api.js";

const PIECE_SECONDS = 2, AHEAD_SECONDS = 5, DELAY_SECONDS = 0.1;

export class Player extends EventTarget {
  #context; #gains = new Map(); #sources = new Set(); #run = 0; #position = 0; #volumes = new Map();
  /** What is scheduled: from which time of the context on which frames are heard. */
  pieces = [];
  loop = null; // [from, to] in seconds
  paused = true; volume = 1; muted = false; playbackRate = 1; src = ""; ended = false; seeking = false;

  /** @param song `{rate, channels, frames}` */
  open(song) {
    this.pause();
    this.resize(song);
    this.#position = 0;
    this.#context?.close();
    this.#context = null;
    this.#gains.clear();
  }

  /** The same song, whose length is known better. */
  resize(song) {
    this.song = song;
    this.duration = song.frames / song.rate;
  }

  get context() {
    this.#context ??= new AudioContext({ sampleRate: this.song.rate, latencyHint: "playback" });
    return this.#context;
  }

  /** The node through which a track is heard. */
  output(track) {
    if (!this.#gains.has(track)) {
      const gain = this.context.createGain();
      gain.gain.value = this.#volumes.get(track) ?? 0;
      gain.connect(this.context.destination);
      this.#gains.set(track, gain);
    }
    return this.#gains.get(track);
  }

  /** Which tracks play, and how loud each is, from 0 to 1 and more. Takes effect at once. */
  mix(volumes) {
    const tracks = [...volumes.keys()].join();
    const others = tracks !== [...this.#volumes.keys()].join();
    this.#volumes = new Map(volumes);
    if (!this.#context) return;
    for (const [track, gain] of this.#gains) {
      gain.gain.setTargetAtTime(volumes.get(track) ?? 0, this.#context.currentTime, 0.005);
    }
    if (others) this.refetch();
  }

  /** Hear what tracks hold now; call it when their samples have changed. */
  refetch() {
    if (!this.paused) this.#start(this.#frame());
  }

  get currentTime() { return this.song ? this.#frame() / this.song.rate : 0; }
  set currentTime(seconds) {
    if (!this.song || !Number.isFinite(seconds)) return;
    const frame = Math.round(Math.min(Math.max(seconds, 0), this.duration) * this.song.rate);
    this.#position = frame;
    if (!this.paused) this.#start(frame);
    this.dispatchEvent(new Event("seeking"));
    this.dispatchEvent(new Event("timeupdate"));
  }

  async play() {
    if (!this.song || !this.paused) return;
    if (this.#position >= this.song.frames - 1) this.#position = 0;
    if (this.loop && (this.currentTime < this.loop[0] || this.currentTime >= this.loop[1])) {
      this.#position = Math.round(this.loop[0] * this.song.rate);
    }
    this.paused = false;
    await this.context.resume();
    this.#start(this.#position);
    this.dispatchEvent(new Event("play"));
    this.dispatchEvent(new Event("playing"));
  }

  pause() {
    if (this.paused) return;
    this.#position = this.#frame();
    this.paused = true;
    this.#stop();
    this.dispatchEvent(new Event("pause"));
  }

  // wavesurfer asks for these
  load() {}
  removeAttribute() {}
  canPlayType() { return ""; }
  setSinkId() { return Promise.resolve(); }

  #frame() {
    if (this.paused || !this.#context) return this.#position;
    const now = this.#context.currentTime;
    while (this.pieces.length > 1 && this.pieces[1].when <= now) this.pieces.shift();
    const piece = this.pieces[0];
    if (!piece) return this.#position;
    const into = Math.max(Math.round((now - piece.when) * this.song.rate), 0);
    return piece.from + Math.min(into, piece.to - piece.from);
  }

  #stop() {
    this.#run++;
    for (const source of this.#sources) source.stop();
    this.#sources.clear();
    this.pieces = [];
  }

  async #start(frame) {
    this.#position = frame;
    this.#stop();
    const run = this.#run, { rate, frames, channels } = this.song, context = this.context;
    const tracks = [...this.#volumes.keys()];
    let from = frame, next = 0; // `next`: a frame of the context, so that pieces follow each other to the sample
    while (run === this.#run && !this.paused) {
      let end = frames;
      if (this.loop && from < Math.round(this.loop[1] * rate)) end = Math.min(Math.round(this.loop[1] * rate), frames);
      const to = Math.min(from + PIECE_SECONDS * rate, end);
      let found;
      try {
        found = await Promise.all(tracks.map((track) => samples(track, from, to, channels).catch(() => null)));
      } catch { return; }
      if (run !== this.#run) return;
      next = Math.max(next, Math.ceil((context.currentTime + DELAY_SECONDS) * rate));
      const when = next / rate;
      tracks.forEach((track, index) => found[index] && this.#schedule(track, found[index], when));
      this.pieces.push({ when, from, to });
      next += to - from;
      from = to;
      if (this.loop && from === end && end < frames || this.loop && from >= frames) from = Math.round(this.loop[0] * rate);
      if (from >= frames) { // the end: wait until it is heard
        await new Promise((done) => setTimeout(done, (next / rate - context.currentTime) * 1000));
        if (run !== this.#run) return;
        this.pause();
        this.#position = frames;
        this.dispatchEvent(new Event("ended"));
        return;
      }
      const wait = next / rate - context.currentTime - AHEAD_SECONDS;
      if (wait > 0) await new Promise((done) => setTimeout(done, wait * 1000));
    }
  }

  #schedule(track, channels, when) {
    if (!channels[0].length) return;
    const buffer = this.context.createBuffer(channels.length, channels[0].length, this.song.rate);
    channels.forEach((samples, channel) => buffer.copyToChannel(samples, channel));
    const source = this.context.createBufferSource();
    source.buffer = buffer;
    source.connect(this.output(track));
    source.start(when);
    source.onended = () => this.#sources.delete(source);
    this.#sources.add(source);
  }
}
