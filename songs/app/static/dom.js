// Small helpers for the page's elements. Text is always text: nothing here takes HTML.

export const byId = (id) => document.getElementById(id);

/** An element with properties, `on...` listeners, `data` and aria attributes, and children. */
export function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "data") Object.assign(element.dataset, value);
    else if (name.startsWith("aria-") || name === "role" || name === "for") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children);
  return element;
}

/** Rebuild what is in an element when `said` differs from the last time; the focus stays where it was. */
export function refresh(container, said, build) {
  const text = JSON.stringify(said);
  if (container.said === text) return false;
  container.said = text;
  const focus = container.contains(document.activeElement) && document.activeElement.dataset.focus;
  container.replaceChildren(...build());
  if (focus) {
    const again = [...container.querySelectorAll("[data-focus]")].find((item) => item.dataset.focus === focus);
    (again ?? container.querySelector("button, input, select"))?.focus();
  }
  return true;
}

export function clock(seconds) {
  const tenths = Math.round(seconds * 10), hours = Math.floor(tenths / 36000), minutes = Math.floor(tenths / 600) % 60;
  const rest = (tenths % 600 / 10).toFixed(1).padStart(4, "0");
  return (hours ? `${hours}:${String(minutes).padStart(2, "0")}` : `${minutes}`) + `:${rest}`;
}
