#!/bin/sh
# Build the pinned grpcurl into .tools/bin; the component tests and the copyable lines in the docs use it. Needs Go.
set -eu
cd "$(dirname "$0")/.."

version=v1.9.4
stamp=.tools/grpcurl-$version
[ -x .tools/bin/grpcurl ] && [ -f $stamp ] && exit 0
command -v go >/dev/null 2>&1 || { echo "grpcurl: needs Go 1.21 or newer to build" >&2; exit 1; }
mkdir -p .tools/bin
GOBIN="$PWD/.tools/bin" go install "github.com/fullstorydev/grpcurl/cmd/grpcurl@$version"
touch $stamp
