// Making elements. Whatever comes from outside becomes text here, never markup.

const SVG = "http://www.w3.org/2000/svg";

// Characters that are not seen, or that turn around how others are seen: shown as what they are.
const UNSEEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g;

export function visible(text) {
  return String(text).replace(UNSEEN, (c) => "\\u" + c.charCodeAt(0).toString(16).padStart(4, "0"));
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name, value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat(3)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : document.createTextNode(visible(child)));
  }
  return element;
}

// An element with attributes (functions are listeners) and children (elements, or text).
export function h(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function s(tag, attributes, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

// A table that can be scrolled by itself, from the keyboard, too.
export function table(label, columns, rows, attributes) {
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label },
    h("table", attributes,
      h("thead", null, h("tr", null, columns.map((c) => h("th", { scope: "col", class: c.number && "number" }, c.title ?? c)))),
      h("tbody", null, rows)));
}

// A list of terms; those without a value are left out.
export function facts(pairs) {
  const shown = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return h("dl", null, shown.map(([term, value]) => [h("dt", null, term), h("dd", null, value)]));
}

export const id = (text) => h("span", { class: "id" }, text);
export const empty = (...text) => h("div", { class: "sheet empty" }, ...text);

export const address = {
  delivery: (event) => "#/delivery/" + encodeURIComponent(event),
  order: (mode, order) => `#/order/${encodeURIComponent(mode)}/${encodeURIComponent(order)}`,
  letter: (number) => "#/dead-letter/" + encodeURIComponent(number),
};

// The text of a drawing for those who cannot see it, and its size as it is shown.
export function drawing(width, height, label, ...children) {
  return s("svg", { viewBox: `0 0 ${width} ${height}`, height, role: "img", "aria-label": visible(label) }, ...children);
}

// Draws into an element, and again when its width changes. draw(width) makes the drawing.
export function redrawn(draw) {
  const place = h("div");
  let drawn = 0;
  const observer = new ResizeObserver(() => {
    const width = Math.max(Math.floor(place.clientWidth), 280);
    if (!place.isConnected || width === drawn) return;
    drawn = width;
    place.replaceChildren(draw(width));
  });
  observer.observe(place);
  return place;
}
