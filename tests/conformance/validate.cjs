// validate.cjs NODE_MODULES FILE: what CycloneDX's own JavaScript library, in its strict mode, says of a document.
"use strict";

const [modules, file] = process.argv.slice(2);
const load = require("node:module").createRequire(modules + "/");
const { Validation } = load("@cyclonedx/cyclonedx-library");
const text = require("node:fs").readFileSync(file, "utf8");

new Validation.JsonStrictValidator(JSON.parse(text).specVersion).validate(text).then((found) => {
  if (found === null) return;
  for (const { instancePath, message } of found) console.log(`${instancePath || "/"} ${message}`);
  process.exitCode = 1;
});
