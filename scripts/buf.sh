#!/bin/sh
# Contract checks with buf, pinned and hash-checked from npm into scripts/buf/node_modules (Linux), else the `buf` on PATH.
#   buf.sh lint        rules of proto/buf.yaml
#   buf.sh breaking    what changed since the last release tag that an old client would notice
# Where neither exists the checks are skipped with a line; BUF_REQUIRED=1 (set by .ci/run) makes that a failure.
set -eu
cd "$(dirname "$0")/.."

home=scripts/buf
stamp=$home/node_modules/.lock-installed

pinned_binary() {
  for binary in $home/node_modules/@bufbuild/*/bin/buf; do
    [ -x "$binary" ] && echo "$binary" && return 0
  done
  return 1
}

if [ "$(uname -s)" = Linux ] && ! cmp -s $home/package-lock.json $stamp && command -v npm >/dev/null 2>&1; then
  # Bare binaries: no install script has to run.
  (cd $home && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error)
  cp $home/package-lock.json $stamp
fi
buf=$(pinned_binary || command -v buf || true)
if [ -z "$buf" ]; then
  echo "buf: not available (it comes with npm on Linux), contract checks skipped" >&2
  [ -z "${BUF_REQUIRED:-}" ]
  exit
fi

breaking() {
  tag=$(git describe --tags --abbrev=0 --match 'v*' 2>/dev/null || true)
  if [ -z "$tag" ]; then
    echo "buf: no release tag yet, so no breaking-change report; binding from v0.1 on"
    return 0
  fi
  before=$(mktemp -d)
  trap 'rm -rf "$before"' EXIT
  git archive "$tag" proto | tar -x -C "$before"
  if ! "$buf" breaking proto --against "$before/proto"; then
    echo "buf: the lines above break clients of $tag: add new fields, reserve old ones, or make a v2 package" >&2
    return 1
  fi
  echo "buf: nothing in the contracts breaks a client of $tag"
}

case "${1:-}" in
  lint) "$buf" lint proto && echo "buf: contracts clean" ;;
  breaking) breaking ;;
  *) echo "usage: scripts/buf.sh lint|breaking" >&2; exit 2 ;;
esac
