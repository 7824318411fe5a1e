// schema.cjs NODE_MODULES SCHEMA FILE: what ajv says of a document under a JSON schema of draft 2020-12.
"use strict";

const { readFileSync } = require("node:fs");
const [modules, schema, file] = process.argv.slice(2);
const load = require("node:module").createRequire(modules + "/");
const Ajv = load("ajv/dist/2020").default;
const formats = load("ajv-formats").default;

const ajv = new Ajv({ allErrors: false, strict: false });
formats(ajv);
const accepts = ajv.compile(JSON.parse(readFileSync(schema, "utf8")));
if (!accepts(JSON.parse(readFileSync(file, "utf8")))) {
  for (const { instancePath, message } of accepts.errors) console.log(`${instancePath || "/"} ${message}`);
  process.exitCode = 1;
}
