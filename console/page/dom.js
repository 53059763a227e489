// Making elements. Whatever comes from outside becomes text here, never markup.

import { bounded, visible } from "./text.js";

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name, value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false || child === "") continue;
    element.append(child instanceof Node ? child : document.createTextNode(visible(bounded(String(child)))));
  }
  return element;
}

/**
 * An element with attributes (functions are listeners) and children (elements, or text).
 * @param {string} tag
 * @param {Record<string, any> | null} [attributes]
 * @param {any[]} children
 */
export function h(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** The same in SVG. @param {string} tag @param {Record<string, any> | null} [attributes] @param {any[]} children */
export function s(tag, attributes, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

/** What an element is of, where its neighbours are of other things. */
const keyOf = (node) => (node instanceof Element ? node.getAttribute("data-key") : null);

function alike(here, node) {
  return here.nodeType === node.nodeType && keyOf(here) === keyOf(node) && here.nodeName === node.nodeName && here.nodeType !== Node.COMMENT_NODE && !here.isMine && !node.isMine;
}

function patchElement(here, node) {
  for (const { name } of [...here.attributes]) {
    // Details that the reader opened stay open.
    if (!node.hasAttribute(name) && !(name === "open" && here.nodeName === "DETAILS")) here.removeAttribute(name);
  }
  // And those that they closed stay closed.
  for (const { name, value } of node.attributes) {
    if (here.getAttribute(name) !== value && !(name === "open" && here.nodeName === "DETAILS")) here.setAttribute(name, value);
  }
  if (node.draw) {
    here.draw = node.draw;
    redraw(here);
  } else {
    patch(here, [...node.childNodes]);
  }
}

/** Puts the child with this key before another one; the focus stays in it. */
function bring(element, key, before) {
  const child = [...element.children].find((one) => keyOf(one) === key);
  if (!child) return null;
  const focused = /** @type {HTMLElement} */ (child.contains(document.activeElement) ? document.activeElement : null);
  element.insertBefore(child, before);
  focused?.focus({ preventScroll: true });
  return child;
}

/**
 * Makes the content of an element what some nodes are, and keeps what can stay: the focus stays in it, and so does the
 * tip that is shown of it. Children with a data-key stay with what they are of, wherever that is now. Elements that stay
 * keep their own listeners; one that isMine is replaced as a whole, unless it is there already.
 * @param {Node & ParentNode} element
 * @param {(Node & {isMine?: boolean})[]} nodes
 */
export function patch(element, nodes) {
  nodes.forEach((node, i) => {
    let here = /** @type {any} */ (element.childNodes[i]);
    const key = keyOf(node);
    if (key !== null && here && keyOf(here) !== key) here = bring(element, key, here) ?? element.insertBefore(node, here);
    if (!here) element.appendChild(node);
    else if (here === node) return;
    else if (!alike(here, node) || Boolean(here.draw) !== Boolean(/** @type {any} */ (node).draw)) here.replaceWith(node);
    else if (node instanceof Element) patchElement(here, node);
    else if (here.data !== /** @type {Text} */ (node).data) here.data = /** @type {Text} */ (node).data;
  });
  while (element.childNodes.length > nodes.length) element.lastChild?.remove();
}

/** @param {Element} element @param {string} text */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * A table that can be scrolled by itself, from the keyboard, too.
 * @param {string} label
 * @param {any[]} columns texts, or {title, number}
 * @param {any} rows
 * @param {Record<string, any>} [attributes]
 */
export function table(label, columns, rows, attributes) {
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label },
    h("table", attributes,
      h("thead", null, h("tr", null, columns.map((c) => h("th", { scope: "col", class: c.number && "number" }, c.title ?? c)))),
      h("tbody", null, rows)));
}

/**
 * A list of terms; those without a value are left out.
 * @param {[string, any][]} pairs
 */
export function facts(pairs) {
  const shown = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "" && value !== false);
  return h("dl", null, shown.map(([term, value]) => [h("dt", null, term), h("dd", null, value)]));
}

/** @param {any[]} text */
export const empty = (...text) => h("div", { class: "sheet empty" }, ...text);

/**
 * A heading and what is below it; nothing if that is nothing.
 * @param {string} title
 * @param {any[]} content
 */
export function section(title, ...content) {
  const shown = content.flat(Infinity).filter((part) => part !== null && part !== false && part !== undefined);
  return shown.length === 0 ? null : h("section", null, h("h2", null, title), shown);
}

/**
 * A drawing of this width and height, and its text for those who cannot see it.
 * @param {number} width
 * @param {number} height
 * @param {string} label
 * @param {any[]} children
 */
export function drawing(width, height, label, ...children) {
  return s("svg", { viewBox: `0 0 ${width} ${height}`, height, role: "img", "aria-label": visible(label) }, ...children);
}

const NARROWEST = 280;

function redraw(place) {
  const width = Math.max(Math.floor(place.clientWidth), NARROWEST);
  if (place.clientWidth === 0) return;
  place.drawn = width;
  patch(place, [place.draw(width)]);
}

const observer = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    const place = /** @type {any} */ (target);
    if (!place.isConnected) observer.unobserve(place);
    else if (place.clientWidth !== place.drawn) redraw(place);
  }
});

/**
 * A place for a drawing, which is drawn anew when its width changes. draw(width) makes it.
 * @param {(width: number) => Node} draw
 */
export function drawn(draw) {
  const place = /** @type {any} */ (h("div", { class: "drawing" }));
  place.draw = draw;
  observer.observe(place);
  return place;
}
