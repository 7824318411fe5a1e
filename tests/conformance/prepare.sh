#!/usr/bin/env bash
# Puts the validators into .conformance/: a Python environment, the npm packages and a Node of their own. Needs the package
# registries once; what is there already is left alone, and nothing outside .conformance/ changes.
set -euo pipefail
cd "$(dirname "$0")/../.."
here=tests/conformance
home=.conformance
python=${PYTHON:-python3.11}

mkdir -p "$home"
echo '*' >"$home/.gitignore"

# fresh STAMP FILE...: whether what the stamp stands for was made from these very files.
fresh() { [ -f "$1" ] && [ "$(cat "$1")" = "$(cat "${@:2}" | sha256sum)" ]; }
stamp() { cat "${@:2}" | sha256sum >"$1"; }
# packages FOLDER SOURCE: what the lock file of SOURCE names, into FOLDER. No package's scripts run. (`npm ci` would refuse the
# lock file that npm itself has written: some packages of other platforms are optional, and published nowhere.)
packages() {
  mkdir -p "$1"
  cp "$2/package.json" "$2/package-lock.json" "$1/"
  (cd "$1" && npm install --ignore-scripts --no-audit --no-fund --loglevel=error "${@:3}")
}

if ! fresh "$home/python.stamp" "$here/requirements.txt"; then
  rm -rf "$home/python"
  "$python" -m venv "$home/python"
  "$home/python/bin/python" -m pip --disable-pip-version-check -qq install --requirement "$here/requirements.txt"
  stamp "$home/python.stamp" "$here/requirements.txt"
fi

command -v npm >/dev/null || { apt-get update -qq && apt-get install -y -qq npm; }
if ! fresh "$home/node.stamp" "$here/node/package-lock.json"; then
  packages "$home/node" "$here/node"
  stamp "$home/node.stamp" "$here/node/package-lock.json"
fi
if ! fresh "$home/npm.stamp" "$here/package-lock.json"; then
  # Optional packages are scanners of many megabytes, which no validator needs.
  packages "$home/npm" "$here" --omit=optional
  stamp "$home/npm.stamp" "$here/package-lock.json"
fi
