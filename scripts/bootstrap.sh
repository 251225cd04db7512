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

# Microseconds of a fixed piece of interpreter work (objects, methods, dicts, integers), the best of several: how well an
# interpreter was built decides how fast orders are, by a factor of two (docs/benchmarks.md). Nothing when it has no venv.
speed_of() {
  "$1" -c '
import ensurepip, time, venv

class Item:
    __slots__ = ("key", "value")
    def __init__(self, key, value):
        self.key, self.value = key, value
    def total(self, other):
        return self.value + other

def work():
    kept, total = {}, 0
    for number in range(20000):
        item = Item(str(number & 255), number)
        kept[item.key] = item
        total = item.total(total) & 0xFFFF
    return total

def timed():
    began = time.perf_counter()
    work()
    return time.perf_counter() - began

print(int(min(timed() for _ in range(15)) * 1e6))
' 2>/dev/null || true
}

every() { # every COMMAND: all of that name on the PATH, in order
  case "$1" in
    */*) echo "$1" ;;
    *)
      old_ifs=$IFS
      IFS=:
      for folder in $PATH; do
        [ -x "$folder/$1" ] && echo "$folder/$1"
      done
      IFS=$old_ifs
      ;;
  esac
}

choose_python() { # prints the interpreter to use: the fastest tested one; an explicit PYTHON is used or refused, never replaced
  seen="" known="" best="" best_speed=0
  for name in ${PYTHON:-python3 python3.13 python3.12 python3.11 python}; do
    candidates=$(every "$name")
    for candidate in ${candidates:-$name}; do
      found=$(version_of "$candidate")
      seen="$seen $candidate=${found:-missing}"
      [ -n "$found" ] && is_tested "$found" || continue
      real=$("$candidate" -c 'import os, sys; print(os.path.realpath(sys.executable))')
      case " $known " in *" $real "*) continue ;; esac
      known="$known $real"
      speed=$(speed_of "$real")
      if [ -n "$speed" ] && { [ -z "$best" ] || [ "$speed" -lt "$best_speed" ]; }; then
        best=$real best_speed=$speed
      fi
    done
  done
  [ -z "$best" ] || { echo "$best" && return 0; }
  [ -z "$known" ] || fail "no venv module in:$known; on Debian: apt-get install python3-venv"
  fail "needs one of Python $tested; found:$seen. Install one, or name it: make setup PYTHON=/path/to/python3.11"
}

if [ -x .venv/bin/python ]; then
  found=$(version_of .venv/bin/python)
  is_tested "$found" || fail ".venv is Python ${found:-broken}, tested are $tested: run \`make clean\` and try again"
else
  python=$(choose_python)
  echo "setup: creating .venv with $python ($(version_of "$python"))"
  "$python" -m venv .venv || {
    rm -rf .venv
    fail "$python could not make .venv"
  }
fi

echo "setup: installing the locked packages (requirements/dev.txt)"
.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements/dev.txt
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
.venv/bin/python -m pip check --disable-pip-version-check >/dev/null || fail "the locked packages contradict each other: make lock"
echo "setup: done"
