// What a view is shown in: a heading with the question, how old the answer is, and the answer, which keeps itself current.

import { Refusal, serverNow } from "./api.js";
import { empty, h, patch, write } from "./dom.js";
import { showAges } from "./parts.js";
import { visible } from "./text.js";
import { clock, day, ms, relative, stamp, zoneName } from "./time.js";

const RETRY_MS = 3000;
// Browsers cannot wait for longer than this.
const LONGEST_WAIT_MS = 2 ** 31 - 1;
// An answer is stale when it is this much older than the next one should be.
const LENIENCY_MS = 8000;

const title = /** @type {HTMLElement} */ (document.getElementById("title"));
const content = /** @type {HTMLElement} */ (document.getElementById("content"));
const main = /** @type {HTMLElement} */ (document.getElementById("main"));
const asOf = /** @type {HTMLElement} */ (document.getElementById("as-of"));
const trouble = /** @type {HTMLElement} */ (document.getElementById("trouble"));

let attentionCount = 0;

/** The number of rows that a person should look at, for the title of the window. */
export function setAttentionCount(number) {
  attentionCount = number;
  showTitle();
}

function showTitle() {
  document.title = `${attentionCount > 0 ? `(${attentionCount}) ` : ""}${visible(title.innerText)} · bagelhook`;
}

function complain(text) {
  trouble.hidden = text === null;
  write(trouble, text ?? "");
}

/**
 * @typedef {object} Definition
 * @property {string} [of] the entry of the navigation that it is below
 * @property {(view: View) => any} title the question, as what a heading is made of
 * @property {(view: View) => string | null} [problem] why it cannot be asked, as a sentence
 * @property {(view: View) => Promise<any>} [load] asks for the answer, which has now
 * @property {(data: any, view: View) => any[]} [render]
 * @property {(data: any) => number} [changes] when the answer will change by itself, in milliseconds since 1970
 * @property {number} every how long an answer lasts, in milliseconds
 * @property {(view: View) => void} [start] instead of load and render: shows itself, and calls current() and failed()
 * @property {string} [missing] what to say if there is no such thing
 */

/** One view, from its address until the next one. What it asks for is of no interest after that. */
export class View {
  /**
   * @param {Definition} definition
   * @param {{rest: string[], parameters: URLSearchParams, focus: boolean, kept: any, keep: (value: any) => void, scroll: number | null}} given
   */
  constructor(definition, given) {
    this.definition = definition;
    this.rest = given.rest;
    this.parameters = given.parameters;
    this.kept = given.kept;
    this.keep = given.keep;
    this.controller = new AbortController();
    this.signal = this.controller.signal;
    this.data = null;
    /** The name that is searched for. */
    this.q = "";
    this.answeredAt = null;
    this.failing = false;
    // A complaint of what is not tried again by itself: it stays until it is tried again by hand.
    this.lasting = false;
    this.timer = 0;
    this.scroll = given.scroll;
    this.question(given.focus);
  }

  /** The heading at once, and nothing of the view before. */
  question(focus) {
    patch(title, [...h("h1", null, this.definition.title(this)).childNodes]);
    content.replaceChildren();
    // Empty, but as high as it will be.
    write(asOf, "\u00a0");
    main.classList.remove("stale");
    main.setAttribute("aria-busy", "true");
    complain(null);
    showTitle();
    if (focus) title.focus({ preventScroll: true });
    window.scrollTo(0, 0);
  }

  /** Other words for the question, when more of it is known. */
  retitle(...words) {
    if (this.signal.aborted) return;
    patch(title, [...h("h1", null, ...words).childNodes]);
    showTitle();
  }

  /** Shows nodes, in place of what is there. */
  show(...nodes) {
    if (this.signal.aborted) return;
    patch(content, nodes.flat(Infinity).filter((node) => node !== null && node !== undefined && node !== false && node !== ""));
    main.removeAttribute("aria-busy");
    if (this.scroll !== null) window.scrollTo(0, this.scroll);
    this.scroll = null;
  }

  /** What is shown is only a frame, until current() is called. */
  busy() {
    main.setAttribute("aria-busy", "true");
  }

  /** The address of what is shown now, for whoever reloads or keeps it. */
  shows(name, parameters) {
    const query = new URLSearchParams(parameters).toString();
    window.history.replaceState(window.history.state, "", `#/${name}${query ? `?${query}` : ""}`);
  }

  /** What is shown is as of a moment of the server's. */
  current(now) {
    if (this.signal.aborted) return;
    main.removeAttribute("aria-busy");
    this.answeredAt = now;
    this.failing = false;
    if (!this.lasting) complain(null);
    this.tick();
  }

  /** An error that will be tried again: shown, and what is shown is old. Anything but a Refusal is thrown. */
  failed(error, again = true) {
    if (this.signal.aborted) return;
    if (!(error instanceof Refusal)) throw error;
    this.failing = again;
    this.lasting = !again;
    complain(again ? `${error.message}. Trying again.` : `${error.message}.`);
    this.tick();
  }

  /** Removes the message after an action that had failed has succeeded. */
  recovered() {
    if (this.signal.aborted) return;
    this.lasting = false;
    complain(null);
  }

  /** Brings what the clock alone changes up to date. */
  tick() {
    showAges();
    if (this.answeredAt === null) return;
    const now = serverNow();
    const old = this.failing || now - ms(this.answeredAt) > this.definition.every + LENIENCY_MS;
    const at = day(this.answeredAt) === day(now) ? `${clock(this.answeredAt)} ${zoneName(this.answeredAt)}` : stamp(this.answeredAt);
    write(asOf, old ? `Not current: as of ${at}, ${relative(this.answeredAt, now)}.` : `As of ${at}`);
    main.classList.toggle("stale", old);
  }

  /** Shows the last answer anew, in the zone that is chosen now. */
  render() {
    if (this.data !== null && this.definition.render) this.show(this.definition.render(this.data, this));
    this.tick();
  }

  begin() {
    const problem = this.definition.problem?.(this) ?? null;
    if (problem !== null) this.show(empty(problem));
    else if (this.definition.start) this.definition.start(this);
    else this.refresh();
  }

  /** Asks now, and again when the answer is old or changes by itself. */
  async refresh() {
    window.clearTimeout(this.timer);
    let wait = this.definition.every;
    try {
      const data = await this.definition.load(this);
      if (this.signal.aborted) return;
      this.data = data;
      this.current(data.now);
      this.render();
      // A little later, so that it is over by the server's clock.
      wait = Math.max(Math.min(wait, (this.definition.changes?.(data) ?? Infinity) - serverNow() + 300), 1000);
    } catch (error) {
      if (this.signal.aborted) return;
      if (!(error instanceof Refusal)) throw error;
      if (error.status === 404) {
        this.show(empty(this.definition.missing ?? "There is no such thing, or not yet."));
        this.current(serverNow());
      }
      else if (error.status === 400) this.show(empty(`${error.message}.`));
      else this.fail(error);
      if (error.status !== 404) wait = RETRY_MS;
      if (error.status === 400) return;
    }
    this.timer = window.setTimeout(() => this.refreshIfSeen(), Math.min(wait, LONGEST_WAIT_MS));
  }

  fail(error) {
    if (this.data === null) this.show(empty("It is shown as soon as the console answers."));
    this.failed(error);
  }

  /** Nobody looks at a hidden window; it asks as soon as somebody does. */
  refreshIfSeen() {
    if (document.hidden) document.addEventListener("visibilitychange", () => this.refreshIfSeen(), { once: true, signal: this.signal });
    else this.refresh();
  }

  /** Calls again and again, one after the other, while somebody looks. */
  every(pause, update) {
    const turn = async () => {
      if (this.signal.aborted) return;
      if (!document.hidden) {
        try {
          await update();
        } catch (error) {
          this.failed(error);
        }
      }
      this.timer = window.setTimeout(turn, pause);
    };
    this.timer = window.setTimeout(turn, pause);
  }

  end() {
    window.clearTimeout(this.timer);
    this.controller.abort();
  }
}
