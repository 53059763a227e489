// Making elements. Whatever comes from outside becomes text here, never markup.

const SVG = "http://www.w3.org/2000/svg";

// Characters that are not seen, that look like a space and are none, or that turn around how others are seen:
// shown as what they are.
const UNSEEN = /(?![\t\n ])[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Z}\p{Default_Ignorable_Code_Point}\u2800]/gu;

export function visible(text) {
  return String(text).replace(UNSEEN, (c) => {
    const digits = c.codePointAt(0).toString(16);
    return digits.length > 4 ? `\\u{${digits}}` : `\\u${digits.padStart(4, "0")}`;
  });
}

// Of an endless text its beginning: it would keep the browser busy, and nobody reads it. A body has it all.
const LONGEST = 10000;

function bounded(text) {
  if (text.length <= LONGEST) return text;
  const cut = text.slice(0, LONGEST).replace(/[\ud800-\udbff]$/, "");
  return `${cut} … ${(text.length - cut.length).toLocaleString("en")} more characters`;
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name, value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat(3)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : document.createTextNode(visible(bounded(String(child)))));
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

function alike(here, node) {
  return here.nodeType === node.nodeType && here.nodeName === node.nodeName && here.nodeType !== Node.COMMENT_NODE;
}

// Makes the content of an element what some nodes are, and keeps what can stay: the focus stays in it, and so does
// the tip that is shown of it. Elements that stay keep their own listeners.
export function patch(element, nodes) {
  nodes.forEach((node, i) => {
    const here = element.childNodes[i];
    if (!here) {
      element.append(node);
    } else if (!alike(here, node)) {
      here.replaceWith(node);
    } else if (node instanceof Element) {
      for (const { name } of [...here.attributes]) if (!node.hasAttribute(name)) here.removeAttribute(name);
      for (const { name, value } of node.attributes) if (here.getAttribute(name) !== value) here.setAttribute(name, value);
      patch(here, [...node.childNodes]);
    } else if (here.data !== node.data) {
      here.data = node.data;
    }
  });
  while (element.childNodes.length > nodes.length) element.lastChild.remove();
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

export const found = (text) => h("a", { href: address.find(text), class: "id" }, text);
export const id = (text) => h("span", { class: "id" }, text);
export const empty = (...text) => h("div", { class: "sheet empty" }, ...text);

export const address = {
  delivery: (event) => "#/delivery/" + encodeURIComponent(event),
  order: (mode, order) => `#/order/${encodeURIComponent(mode)}/${encodeURIComponent(order)}`,
  find: (q) => "#/find?q=" + encodeURIComponent(q),
  letter: (number) => "#/dead-letter/" + encodeURIComponent(number),
};

// The text of a drawing for those who cannot see it, and its size as it is shown.
export function drawing(width, height, label, ...children) {
  return s("svg", { viewBox: `0 0 ${width} ${height}`, height, role: "img", "aria-label": visible(label) }, ...children);
}

// Draws into an element, and again when its width changes, or when asked to. draw(width) makes the drawing.
export function redrawable(draw) {
  const place = h("div");
  let drawn = 0;
  const redraw = () => {
    if (drawn > 0) patch(place, [draw(drawn)]);
  };
  const observer = new ResizeObserver(() => {
    const width = Math.max(Math.floor(place.clientWidth), 280);
    if (!place.isConnected || width === drawn) return;
    drawn = width;
    redraw();
  });
  observer.observe(place);
  return { place, redraw };
}

export const redrawn = (draw) => redrawable(draw).place;
