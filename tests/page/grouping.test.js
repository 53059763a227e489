import assert from "node:assert/strict";
import test from "node:test";

import { attentionTitle, byKind, byMode, hidden, newestFirst, unusual, whyMatched } from "../../console/page/grouping.js";

const NOW = "2026-06-01T00:00:00Z";

test("why an item matched", () => {
  assert.equal(whyMatched([{ kind: "payment", value: "pay_1" }], NOW), "payment pay_1");
  assert.equal(whyMatched([{ kind: "email", value: "a@b", former: true, until: "2026-05-12T10:00:00Z" }, { kind: "order", value: "o1" }], NOW),
    "former e-mail address a@b, until 12 May; order o1");
  assert.equal(whyMatched([{ kind: "email", value: "a@b", former: true, until: null }], NOW), "former e-mail address a@b");
});

test("attention by kind, in the order in which kinds appear; unknown kinds have their own name", () => {
  assert.deepEqual(byKind([{ kind: "a", n: 1 }, { kind: "b", n: 2 }, { kind: "a", n: 3 }]).map(([kind, rows]) => [kind, rows.length]), [["a", 2], ["b", 1]]);
  assert.equal(attentionTitle("open_dispute"), "Open disputes");
  assert.equal(attentionTitle("brand_new"), "brand new");
});

test("only what is unusual is said of a delivery", () => {
  const usual = { outcome: "applied", resolved: null, warnings: [], mode: "live" };
  assert.deepEqual(unusual(usual), []);
  assert.deepEqual(unusual({ ...usual, outcome: "dead_letter", resolved: true, warnings: ["a", "b"] }).map((u) => u.text), ["dead letter", "resolved", "2 warnings"]);
});

test("lists", () => {
  const rows = [{ at: "2026-05-01T00:00:00.1Z", id: "b" }, { at: "2026-05-01T00:00:00.2Z", id: "a" }, { at: "2026-05-01T00:00:00.1Z", id: "c" }];
  assert.deepEqual(rows.sort(newestFirst).map((r) => r.id), ["a", "c", "b"]);
  assert.deepEqual(byMode([{ mode: "live" }, { mode: "test" }]), { live: [{ mode: "live" }], test: [{ mode: "test" }] });
  assert.deepEqual([0, 1, 8, 1001].map(hidden), [null, "1 dead letter is not shown.", "8 dead letters are not shown.", "More than 1,000 dead letters are not shown."]);
});
