import assert from "node:assert/strict";
import test from "node:test";

import { cleaned, isAddress, searchProblem } from "../../console/page/search_input.js";

for (const pasted of ["ann@example.com", "<ann@example.com>", "Ann Example <ann@example.com>,", "mailto:ann@example.com", "mailto:ann%40example.com?subject=Help",
  "\"ann@example.com\",", " ann@example.com. ", "(ann@example.com)", "Ann <mailto:ann@example.com>;", "„ann@example.com“", "\u200bann@example.com\ufeff", "'ann@example.com';\n"]) {
  test(`an address as pasted: ${JSON.stringify(pasted)}`, () => assert.equal(cleaned(pasted), "ann@example.com"));
}

test("ids keep what is theirs", () => {
  for (const id of ["ORD_1", "customer:c1:p1", "a.b-c_d/e", "evt_#1", "1e3", "o'neil@example.com", "pay_1*"]) assert.equal(cleaned(id), id);
  assert.equal(cleaned("Order: "), "Order");
  assert.equal(cleaned("#42,"), "#42");
  assert.equal(cleaned(" ,;<> "), "");
  assert.equal(cleaned("mailto:a%ff@example.com"), "a%ff@example.com");
});

test("what cannot be searched for, and why", () => {
  assert.match(searchProblem(""), /^Type an order/);
  assert.match(searchProblem("x".repeat(501)), /501 characters/);
  assert.match(searchProblem("ab*"), /at least 3/);
  for (const name of ["a", "abc*", "ann@example.com"]) assert.equal(searchProblem(name), null);
  assert.deepEqual(["ann@example.com", "ann", "a b@c", "@"].map(isAddress), [true, false, false, false]);
});
