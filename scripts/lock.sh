#!/bin/sh
# Resolve pyproject.toml for every tested Python and platform at once, with a hash for each file.
# The locks name packages and hashes only: which index serves them is the machine's own setting.
set -eu
cd "$(dirname "$0")/.."

compile() { # compile OUTPUT [uv options]
  output=$1
  shift
  .venv/bin/python -m uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes \
    --no-emit-index-url --no-emit-find-links --no-annotate --no-header ${UPGRADE:+--upgrade} "$@" -o "$output"
  { echo "# Made by \`make lock\` from pyproject.toml. Do not edit."; cat "$output"; } >"$output.tmp"
  mv "$output.tmp" "$output"
}

compile requirements/runtime.txt
# Constrained by the runtime lock, so tests run on exactly what production installs.
compile requirements/dev.txt --extra dev --constraint requirements/runtime.txt
