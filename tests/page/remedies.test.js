import assert from "node:assert/strict";
import test from "node:test";

import { dismissal, literal, onDatabase, redriveOne, remediesOf } from "../../console/page/remedies.js";

test("literals that mean the same wherever they are pasted", () => {
  assert.equal(literal(null), "NULL");
  assert.equal(literal("o'neil"), "'o''neil'");
  assert.equal(literal("two words"), "'two words'");
  assert.equal(literal("a\\b"), "U&'a\\\\b'");
  assert.equal(literal("a'\nb"), "U&'a''\\000ab'");
  assert.equal(literal("ann\u202e\u{e0041}"), "U&'ann\\202e\\+0e0041'");
});

const item = (more) => ({ mode: "live", order_id: "o1", product_id: "p1", customer_id: "c1", customer_email: "ann@example.com", entitled: false, reason: "expired", decisions: [], ...more });
const statements = (...given) => remediesOf(...given).map((remedy) => remedy.text);

test("what fits an item, and nothing else", () => {
  assert.deepEqual(statements(item()), ["SELECT * FROM bagelpay.grant('o1', 'ann@example.com', 'p1', now() + interval '1 month', 'why', 'live');"]);
  assert.deepEqual(statements(item({ entitled: true, reason: "active" })), ["SELECT * FROM bagelpay.revoke('o1', 'why', 'live', 'p1', 'c1');"]);
  assert.match(statements(item({ reason: "revoked", decisions: [{}] }))[0], /^SELECT \* FROM bagelpay\.clear\('o1', 'why', 'live', 'p1', 'c1'\);$/);
  assert.match(statements(item({ reason: "disputed" }), [{ name: "pay'1" }])[0], /dispute_won\('pay''1', 'won', 'live', 'o1'\);$/);
});

test("commands take numbers only", () => {
  assert.equal(redriveOne("7").text, "bagelhook redrive --id 7");
  assert.equal(redriveOne("7; rm").text, "bagelhook redrive --id NaN");
  assert.equal(dismissal("conflict:1").text, "SELECT * FROM bagelpay.dismiss('conflict:1', 'checked');");
});

test("a command names its database, if a shell reads it as a name", () => {
  assert.equal(onDatabase("bagelhook redrive --id 7", "shop"), "bagelhook redrive --id 7 --database dbname=shop");
  assert.equal(onDatabase("bagelhook redrive --id 7", "a b; rm"), "bagelhook redrive --id 7");
  assert.equal(onDatabase("SELECT 1;", "shop"), "SELECT 1;");
});
