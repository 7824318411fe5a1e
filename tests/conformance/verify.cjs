// verify.cjs NODE_MODULES BUNDLE KEY                        what Sigstore's own JavaScript library says of a bundle, by a key in PEM
// verify.cjs NODE_MODULES BUNDLE CONFIG IDENTITY ISSUER     or by a client trust configuration: certificate, CT, log and time
"use strict";

const { createPublicKey } = require("node:crypto");
const { readFileSync } = require("node:fs");
const [modules, bundle, trust, identity, issuer] = process.argv.slice(2);
const load = require("node:module").createRequire(modules + "/");
const { bundleFromJSON } = load("@sigstore/bundle");
const { TrustedRoot } = load("@sigstore/protobuf-specs");
const { toSignedEntity, toTrustMaterial, Verifier } = load("@sigstore/verify");

function byKey(pem) {
  const publicKey = createPublicKey(pem);
  // A key that somebody hands over: no authority, no log, no time.
  const material = {
    certificateAuthorities: [], ctlogs: [], timestampAuthorities: [], tlogs: [],
    publicKey: () => ({ publicKey, validFor: () => true }),
  };
  return new Verifier(material, { ctlogThreshold: 0, timestampThreshold: 0, tlogThreshold: 0, tsaThreshold: 0 });
}

try {
  const verifier = identity === undefined
    ? byKey(readFileSync(trust))
    : new Verifier(toTrustMaterial(TrustedRoot.fromJSON(JSON.parse(readFileSync(trust, "utf8")).trustedRoot)));
  const policy = identity === undefined ? undefined : { subjectAlternativeName: identity, extensions: { issuer } };
  verifier.verify(toSignedEntity(bundleFromJSON(JSON.parse(readFileSync(bundle, "utf8")))), policy);
} catch (error) {
  console.log(`${error.code ?? error.name}: ${error.message}`);
  process.exitCode = 1;
}
