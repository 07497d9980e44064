#!/bin/sh
# Installs Aurea, pinned, into .venv of this clone. `./setup.sh dev` adds what the tests need.
# Asks for Python 3.11 or later and git; works round a Python without ensurepip (Debian splits it off) where it can.
set -eu
cd "$(dirname "$0")"
say() { printf '%s\n' "$*" >&2; }

python=""
for candidate in "${PYTHON:-}" python3 python3.14 python3.13 python3.12 python3.11 python; do
    if [ -n "$candidate" ] && command -v "$candidate" >/dev/null 2>&1 &&
        "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        python=$candidate
        break
    fi
done
[ -n "$python" ] || { say "Aurea needs Python 3.11 or later; none was found. Name one: PYTHON=/path/to/python3 ./setup.sh"; exit 2; }
command -v git >/dev/null 2>&1 || { say "Aurea needs git 2.38 or later; install git first."; exit 2; }

if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    rm -rf .venv
    if "$python" -c 'import ensurepip' 2>/dev/null; then
        "$python" -m venv .venv
    elif command -v uv >/dev/null 2>&1; then
        uv venv --quiet --seed --python "$python" .venv
    elif "$python" -m pip --version >/dev/null 2>&1; then
        "$python" -m venv --without-pip .venv
        "$python" -m pip --python .venv/bin/python install --quiet pip
    elif "$python" -m virtualenv --version >/dev/null 2>&1; then
        "$python" -m virtualenv --quiet .venv
    else
        say "This Python ($python) has neither ensurepip nor pip, so no environment can be made."
        say "On Debian and Ubuntu: apt-get install python3-venv; then run this again."
        exit 2
    fi
fi

extra=""
[ "${1:-}" = dev ] && extra="[dev]"
# Bytecode is compiled now, so that the first command does not pay for it.
env -u PYTHONDONTWRITEBYTECODE .venv/bin/python -m pip install --quiet --disable-pip-version-check --compile \
    --constraint constraints.txt --editable ".$extra"

# The server that the wire tests talk to comes from npm; without it those tests are skipped and say so.
if [ "${1:-}" = dev ] && command -v npm >/dev/null 2>&1; then
    npm ci --silent --no-audit --no-fund --prefix tests/contracts/wire ||
        say "npm could not install the model server of the wire tests; they will be skipped"
fi
