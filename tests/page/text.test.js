import assert from "node:assert/strict";
import test from "node:test";

import { bounded, bytes, counted, interval, money, times, visible } from "../../console/page/text.js";

test("what is not seen is shown as its escape", () => {
  assert.equal(visible("ann\u202emoc"), "ann\\u202emoc");
  assert.equal(visible("a\u00a0b\u{e0041}"), "a\\u00a0b\\u{e0041}");
  assert.equal(visible("two words\tand 🥯 é\n"), "two words\tand 🥯 é\n");
});

test("an endless text is cut, not within a character", () => {
  assert.equal(bounded("x".repeat(10000)), "x".repeat(10000));
  assert.match(bounded("x".repeat(9999) + "🥯".repeat(1000)), /^x{9999} … 2,000 more characters$/);
});

test("numbers in words", () => {
  assert.deepEqual([1, 2, 1234].map((n) => counted(n, "file")), ["1 file", "2 files", "1,234 files"]);
  assert.deepEqual([1, 2, 3].map(times), ["once", "twice", "3 times"]);
  assert.deepEqual([1, 1536, 3 * 1048576].map(bytes), ["1 byte", "1.5 KiB", "3.0 MiB"]);
});

test("amounts keep their digits, and an unknown currency or amount is left out", () => {
  assert.equal(money("12345678901.10", "EUR"), "12345678901.10 EUR");
  assert.equal(money("1", null), "1");
  assert.equal(money(null, "EUR"), null);
  assert.equal(interval("3 mons"), "3 months");
});
