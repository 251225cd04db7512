#!/bin/sh
# Create .venv with exactly the locked packages and the project itself, editable. Called by `make setup`.
# Needs a tested Python (list in tradebot/_version.py) with its venv module, and a network for packages; nothing else.
set -eu
cd "$(dirname "$0")/.."

fail() {
  echo "setup: $*" >&2
  exit 1
}

# "3.11 3.12 3.13", from the one place that lists them.
tested=$(sed -n 's/^TESTED_PYTHONS.*= (\(.*\))$/\1/p' tradebot/_version.py | tr -d '",')
[ -n "$tested" ] || fail "cannot read TESTED_PYTHONS from tradebot/_version.py"

version_of() { # prints "3.11", or nothing when the command does not run (a missing one, or a pyenv shim without a version)
  "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || true
}

is_tested() {
  for version in $tested; do
    [ "$1" = "$version" ] && return 0
  done
  return 1
}

choose_python() { # prints the interpreter to use
  seen=""
  # An explicit PYTHON is used or refused, never silently replaced.
  for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11 python}; do
    found=$(version_of "$candidate")
    if [ -n "$found" ] && is_tested "$found"; then
      echo "$candidate"
      return 0
    fi
    seen="$seen $candidate=${found:-missing}"
  done
  fail "needs one of Python $tested; found:$seen. Install one, or name it: make setup PYTHON=/path/to/python3.11"
}

if [ -x .venv/bin/python ]; then
  found=$(version_of .venv/bin/python)
  is_tested "$found" || fail ".venv is Python ${found:-broken}, tested are $tested: run \`make clean\` and try again"
else
  python=$(choose_python)
  echo "setup: creating .venv with $python ($(version_of "$python"))"
  # Debian ships Python without ensurepip; say which package brings it.
  "$python" -m venv .venv || {
    rm -rf .venv
    fail "$python has no venv module; on Debian: apt-get install python$(version_of "$python")-venv"
  }
fi

echo "setup: installing the locked packages (requirements/dev.txt)"
.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements/dev.txt
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
.venv/bin/python -m pip check --disable-pip-version-check >/dev/null || fail "the locked packages contradict each other: make lock"
echo "setup: done"
