import assert from "node:assert/strict";
import test from "node:test";

import { toCsv, toJson } from "../../console/page/table_text.js";

test("CSV that reads back, and runs nothing in a spreadsheet", () => {
  assert.equal(toCsv(["a", "b"], [{ a: 'x"y', b: "1,5" }, { a: null, b: ["w1", "w2"] }, { a: "=1+1", b: "-5.20" }, { a: "@x", b: "two\nlines" }]),
    'a,b\r\n"x""y","1,5"\r\n,w1; w2\r\n\'=1+1,-5.20\r\n\'@x,"two\nlines"\r\n');
});

test("JSON with the same columns", () => {
  assert.deepEqual(JSON.parse(toJson(["a", "b"], [{ a: "1.10", c: 3 }])), [{ a: "1.10", b: null }]);
});
