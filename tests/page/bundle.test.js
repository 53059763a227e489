// The console makes one script of all modules: it has to be one that can be read, in one scope.

import assert from "node:assert/strict";
import fs from "node:fs";
import test from "node:test";
import vm from "node:vm";

const page = new URL("../../console/page/", import.meta.url);
const named = /modules\[\] = \{(.*?)\};/s.exec(fs.readFileSync(new URL("../page.c", page), "utf8"))[1];
const modules = [...named.matchAll(/"([^"]+)"/g)].map((found) => found[1]);
const source = (name) => fs.readFileSync(new URL(name, page), "utf8");

test("every module is part of it, once, behind those that it imports", () => {
  assert.deepEqual([...modules].sort(), fs.readdirSync(page).filter((name) => name.endsWith(".js")).sort());
  for (const [i, name] of modules.entries()) {
    for (const [, imported] of source(name).matchAll(/from "\.\/([^"]+)"/g)) assert.ok(modules.indexOf(imported) < i, `${name} imports ${imported}`);
  }
});

test("imports and exports are what the console takes out", () => {
  for (const name of modules) {
    for (const line of source(name).split("\n")) {
      if (/^import\b/.test(line)) assert.match(line, /^import \{[^}]*\} from "\.\/\w+\.js";$/, name);
      if (/^export\b/.test(line)) assert.match(line, /^export (const|function|async function|function\*|class) /, name);
      assert.doesNotMatch(line, /^ +export |^[^*]*import\(/, name);
    }
  }
});

test("no name is declared twice", () => {
  const script = modules.map((name) => source(name).replace(/^import .*;\n/gm, "").replace(/^export /gm, "")).join("");
  assert.doesNotThrow(() => new vm.Script(script));
});
