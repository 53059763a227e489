import assert from "node:assert/strict";
import test from "node:test";

import { differences, indented, isJson, leaves, notUtf8 } from "../../console/page/json_text.js";

const pretty = (text) => [...indented(text)].map((part) => part.text).join("");

test("indented, with digits and escapes as they came", () => {
  assert.equal(pretty('{"a":1.10,"b":[{},[]],"c":"\\u20ac \\" {"}'), '{\n  "a": 1.10,\n  "b": [\n    {},\n    []\n  ],\n  "c": "\\u20ac \\" {"\n}');
  assert.deepEqual([...indented('{"a":"b"}')].filter((part) => part.isKey).map((part) => part.text), ['"a"']);
  assert.ok(isJson("[1]") && !isJson("[1") && !isJson(""));
});

test("values by their paths", () => {
  assert.deepEqual([...leaves('{"a":{"b":1.10,"c":[true,null]},"d":{},"e":"x"}')],
    [["a.b", "1.10"], ["a.c.0", "true"], ["a.c.1", "null"], ["d", "{}"], ["e", '"x"']]);
  assert.deepEqual([...leaves("[]")], [["", "[]"]]);
});

test("what differs, and nothing else", () => {
  const one = '{"id":"e","object":{"amount":"1","order":{"currency":"EUR"}}}';
  const other = '{ "object": {"order": {"currency": "EUR"}, "amount": "2", "more": 1.0}, "id": "e" }';
  assert.deepEqual(differences(one, other), [
    { path: "object.amount", one: '"1"', other: '"2"' }, { path: "object.more", one: null, other: "1.0" }]);
  assert.deepEqual(differences(one, one), []);
});

test("where bytes stop being UTF-8", () => {
  const at = (...octets) => notUtf8(new Uint8Array(octets));
  assert.equal(at(0x61, 0xe2, 0x82, 0xac), -1);
  assert.equal(at(0x61, 0xff, 0x61), 1);
  assert.equal(at(0x61, 0xe2, 0x82), 1);
  assert.equal(at(), -1);
});
