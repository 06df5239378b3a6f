#!/bin/sh
# usage: setup.sh VENV REQUIREMENTS [PYTHON]
# Makes a virtual environment from a file of pinned requirements, or brings it up to date.
set -eu
cd "$(dirname "$0")/.."
venv=$1
requirements=$2
python=${3:-}
[ -n "$python" ] || python=$(scripts/find_python.sh)

if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    echo "$python has no ensurepip, which a virtual environment needs: apt-get install python$version-venv" >&2
    exit 1
fi

# An environment of another interpreter is replaced.
version_of() { "$1" -c 'import sys; print(sys.version)' 2>/dev/null || true; }
if [ "$(version_of "$venv/bin/python")" != "$(version_of "$python")" ]; then
    echo "setup: creating $venv with $("$python" -V)"
    "$python" -m venv --clear "$venv"
fi

pip() { "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes "$@"; }

# uv installs in 4 s what takes pip a minute, but it does not read pip's configuration (mirrors, proxies,
# certificates): where it cannot install, pip does. Both check the same hashes.
only_uv=$(mktemp)
trap 'rm -f "$only_uv"' EXIT
awk '/^uv==/ { on = 1 } on { print } on && !/\\$/ { exit }' requirements-dev.txt >"$only_uv"
with_uv() {
    pip -r "$only_uv" 2>/dev/null &&
        VIRTUAL_ENV=$venv "$venv/bin/uv" pip install --quiet --require-hashes -r "$requirements" 2>/dev/null
}
echo "setup: installing $requirements"
if ! with_uv; then
    echo "setup: uv cannot install here, so pip does (a minute or so)"
    pip -r "$requirements"
fi
