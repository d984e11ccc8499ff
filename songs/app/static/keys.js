// The keyboard: every action has a key; fields that are typed into keep theirs.

export const KEYS = [
  ["Space", "play, pause"],
  ["← →", "one second back, forth; with Shift one bar"],
  ["Home, End", "start, end of the song"],
  ["[ ]", "the selection begins, ends at the playhead"],
  ["1 2 3", "in the selection the instrument plays alone, plays, does not play"],
  ["L", "loop the selection, or what is in view"],
  ["A", "hear the song, hear the stems"],
  ["+ − F", "zoom in, out, whole song"],
  ["P", "preview of ten seconds: of the selection, or in view from the playhead on"],
  ["S", "separate the whole song"],
  ["N", "peel off, next instrument"],
  ["Esc", "cancel; without a run: forget the selection"],
  ["Delete", "delete the mark in focus in the list of evidence"],
  ["Ctrl+Z, Ctrl+Shift+Z", "undo, redo"],
  ["Tab", "from one control to the next: levels, names, ends of marks"],
  ["?", "this help"],
];

const PLAIN = {
  " ": ["play"], ArrowLeft: ["back"], ArrowRight: ["forth"], Home: ["home"], End: ["end"], "[": ["from"], "]": ["to"],
  1: ["mark", "alone"], 2: ["mark", "among"], 3: ["mark", "absent"], l: ["loop"], a: ["ab"], "+": ["zoomIn"], "=": ["zoomIn"],
  "-": ["zoomOut"], f: ["zoomFit"], p: ["preview"], s: ["separate"], n: ["next"], Escape: ["cancel"], Delete: ["remove"], "?": ["help"],
};
const BUTTONS = ["preview", "separate", "next", "undo", "redo"]; // what buttons of these names say whether it can be done

export function listenToKeys(actions, open) {
  addEventListener("keydown", (event) => {
    const on = event.target, typed = on.matches?.("input:not([type=radio], [type=checkbox]), select, textarea");
    const control = event.ctrlKey || event.metaKey;
    let action = null;
    if (control && !event.altKey && event.key.toLowerCase() === "z") action = [event.shiftKey ? "redo" : "undo"];
    else if (control && event.key.toLowerCase() === "y") action = ["redo"];
    else if (!control && !event.altKey) action = PLAIN[event.key] ?? PLAIN[event.key.toLowerCase()];
    if (event.shiftKey && event.key === "ArrowLeft") action = ["backBar"];
    if (event.shiftKey && event.key === "ArrowRight") action = ["forthBar"];
    if (!action || !open() || typed && !(action[0] === "remove" && on.tagName === "SELECT")) return;
    if (event.key === " " && on.matches?.("button, a, input")) return;
    if (event.key.startsWith("Arrow") && on.matches?.("input")) return;
    if (BUTTONS.includes(action[0]) && document.getElementById(action[0]).disabled) return;
    event.preventDefault();
    if (event.repeat && !event.key.startsWith("Arrow")) return;
    actions[action[0]](action[1]);
  });
}
