// ESLint's recommended rules, and functions that fit a screen.

import js from "@eslint/js";
import globals from "globals";

export default [
  js.configs.recommended,
  {
    languageOptions: { ecmaVersion: 2024, sourceType: "module" },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: { "max-lines-per-function": ["error", { max: 60 }], "prefer-const": "error", eqeqeq: "error", "no-var": "error" },
  },
  { files: ["**/page/*.js"], languageOptions: { globals: { ...globals.browser } } },
  { files: ["**/*.test.js", "**/bundle.js"], languageOptions: { globals: { ...globals.node } } },
];
