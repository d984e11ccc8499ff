// The list of marks and clips of a stem, with what the program thinks of them; all of it works by keyboard.

import { clock, el } from "./dom.js";
import { ROLES, role } from "./roles.js";

/** @param act `{edit(said), play(mark), remarks}` */
export function evidence(stem, roles, act) {
  const items = [...stem.marks, ...stem.clips];
  if (!items.length) {
    return [el("p", { className: "quiet" }, "Nothing yet. Mark where the instrument plays alone, or drop a clip of it: 2 to 10 s.")];
  }
  return [el("ul", { className: "items" }, ...items.map((item) => one(stem, item, roles, act)))];
}

function one(stem, item, roles, act) {
  const change = (what) => act.edit({ do: "change", stem: stem.id, item: item.id, ...what });
  const where = item.name ?? `mark at ${clock(item.start)}`;
  const kind = el("select", {
    value: item.role, "aria-label": `Kind of ${where}`, data: { focus: `${item.id} role` },
    onchange: (event) => change({ role: event.target.value }),
  }, ...ROLES.map(({ id, sign, label }) => el("option", { value: id, selected: id === item.role }, `${sign} ${label}`)));
  const ends = item.name !== undefined
    ? [el("span", { className: "clip" }, item.name)]
    : ["start", "stop"].map((end) => el("input", {
      type: "number", step: 0.1, min: 0, value: item[end].toFixed(2), "aria-label": `${end === "start" ? "From" : "To"}, seconds, ${where}`,
      data: { focus: `${item.id} ${end}` },
      onchange: (event) => change({ [end]: Number(event.target.value) }),
    }));
  const buttons = [];
  if (item.name === undefined) {
    buttons.push(el("button", { onclick: () => act.play(item), "aria-label": `Play ${where}`, data: { focus: `${item.id} play` } }, "Play"));
  }
  buttons.push(el("button", {
    onclick: () => act.edit({ do: "delete", stem: stem.id, item: item.id }), "aria-label": `Delete ${where}`,
    data: { focus: `${item.id} delete`, item: item.id },
  }, "Delete"));
  const remarks = [...(item.error ? [item.error] : []), ...item.remarks];
  if (roles.length && !roles.includes(item.role)) remarks.push(`left out: these weights do not know “${role(item.role).label}” yet; the mark is kept for those that do`);
  return el("li", { className: `item ${item.role}`, data: { item: item.id } },
    el("div", { className: "group" }, kind, ...ends, ...buttons),
    ...remarks.map((text) => el("p", { className: "remark" }, `⚠ ${text}`)),
    ...(item.known ? [] : [el("p", { className: "quiet" }, "being looked at")]),
    ...(item.known && !remarks.length ? [el("p", { className: "fine" }, "✓ good evidence")] : []));
}
