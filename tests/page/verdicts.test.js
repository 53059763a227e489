import assert from "node:assert/strict";
import test from "node:test";

import { answer, nextChange, period, problems, summary, why } from "../../console/page/verdicts.js";

const NOW = "2026-06-01T00:00:00Z";
const item = (more) => ({ mode: "live", kind: "subscription", status: "active", entitled: true, reason: "active", valid_from: "2026-05-10T00:00:00Z",
  valid_until: "2026-06-11T00:00:00Z", paid_at: "2026-05-10T00:00:00Z", paid_until: "2026-06-10T00:00:00Z", trial_until: null, taken_back_at: null,
  mismatches: null, decisions: [], access: [["2026-05-10T00:00:00Z", "2026-06-11T00:00:00Z"]], ...more });
const said = (parts) => parts.map((part) => (typeof part === "string" ? part : part.at.slice(0, 10))).join("");

test("why somebody is entitled, and how long", () => {
  const e = item();
  assert.equal(said(why(e, NOW)), "It is paid for until 2026-06-10.");
  assert.equal(said(period(e, NOW)), "Since 2026-05-10, until 2026-06-11, grace period included.");
  assert.equal(answer(e), "Entitled");
  assert.equal(answer(item({ mode: "test" })), "Entitled in test mode only");
});

test("why somebody is not", () => {
  const e = item({ entitled: false, reason: "expired", valid_until: "2026-05-21T00:00:00Z", paid_until: "2026-05-20T00:00:00Z", status: "past_due" });
  assert.equal(said(why(e, NOW)), "A charge has failed. What was paid for ended on 2026-05-20, and no later payment has come.");
  assert.equal(said(period(e, NOW)), "It lasted from 2026-05-10 until 2026-05-21, grace period included.");
  assert.equal(answer(e), "Not entitled");
  assert.equal(said(why(item({ entitled: false, reason: "constructor" }), NOW)), "Nothing of it was bought; the order is constructor.");
});

test("a grant that has ended is said first", () => {
  const e = item({ entitled: false, reason: "pending", valid_from: null, valid_until: null, paid_at: null, paid_until: null,
    decisions: [{ decision: "grant", at: "2026-05-01T00:00:00Z", until: "2026-05-02T00:00:00Z" }] });
  assert.equal(said(why(e, NOW)), "An operator’s grant of 2026-05-01 ended on 2026-05-02. No payment and no trial have come so far.");
});

test("a gap, and a grant after the end, are not what lasted", () => {
  const windows = [["2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"], ["2026-04-01T00:00:00Z", "2026-05-02T00:00:00Z"]];
  const e = item({ entitled: false, reason: "expired", valid_from: "2026-01-01T00:00:00Z", valid_until: "2026-05-02T00:00:00Z", paid_until: "2026-05-01T00:00:00Z", access: windows });
  assert.equal(said(period(e, NOW)), "It lasted from 2026-04-01 until 2026-05-02, grace period included.");
  const granted = { ...e, access: [...windows, ["2026-05-20T00:00:00Z", "2026-05-21T00:00:00Z"]], decisions: [{ decision: "grant", at: "2026-05-20T00:00:00Z", until: "2026-05-21T00:00:00Z" }] };
  assert.equal(said(period(granted, NOW)), "Without the grant it lasted from 2026-04-01 until 2026-05-02, grace period included.");
});

test("differences from what was expected", () => {
  assert.equal(problems(["amount", "currency"]), "it has another amount, another currency");
  assert.equal(problems(["mode"]), "it was expected in the other mode");
  assert.equal(problems(["unexpected"]), null);
  assert.equal(problems(null), null);
});

test("of several matches, never more than is known", () => {
  assert.equal(summary({ cut: false, exact: 1, live: 1, entitled: 1 }), null);
  assert.equal(summary({ cut: false, exact: 3, live: 2, entitled: 1 }), "Entitled by 1 of 2 live matches.");
  assert.equal(summary({ cut: false, exact: 2, live: 0, entitled: 0 }), "Both are test purchases, which never entitle in live mode.");
  assert.match(summary({ cut: true, exact: 501, live: 501, entitled: 0 }), /^Only 501 of the exact matches were looked at: none of those entitles/);
});

test("when the next verdict changes by the clock alone", () => {
  assert.equal(nextChange([item(), item({ access: [["2026-06-02T00:00:00Z", null]] })], NOW), Date.parse("2026-06-02T00:00:00Z"));
  assert.equal(nextChange([item({ access: [["2026-05-01T00:00:00Z", null]], valid_until: null })], NOW), Infinity);
  assert.equal(nextChange([], NOW), Infinity);
});
