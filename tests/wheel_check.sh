#!/bin/sh
# Build the wheel, install it in a fresh environment outside of the checkout, and run the demonstration
# from there, with an empty home folder: what a new user does. PYTHON names the interpreter.
set -eu
checkout=$(cd "$(dirname "$0")/.." && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT INT TERM
export PIP_DISABLE_PIP_VERSION_CHECK=1

"$PYTHON" -m build --no-isolation --wheel --outdir "$scratch/dist" "$checkout" >"$scratch/build.log" 2>&1 || {
    cat "$scratch/build.log" >&2
    exit 1
}
"$PYTHON" -m venv "$scratch/venv"
# The lock holds the versions still; the wheel's own metadata decides what is installed.
"$scratch/venv/bin/python" -m pip install --quiet --constraint "$checkout/requirements-dev.lock" \
    "$scratch"/dist/encdb-*.whl

mkdir "$scratch/home"
cd "$scratch/home"
unset PYTHONPATH ENCDB_KEYRING ENCDB_PASSPHRASE ENCDB_TEST_DATA
export HOME="$scratch/home" XDG_CONFIG_HOME="$scratch/home/.config" XDG_STATE_HOME="$scratch/home/.state"
"$scratch/venv/bin/encdb" --version
"$scratch/venv/bin/encdb" demo >"$scratch/demo.txt" || {
    cat "$scratch/demo.txt" >&2
    exit 1
}
echo "wheel-check: the demonstration ran from the wheel ($(wc -l <"$scratch/demo.txt") lines)"
