#!/bin/sh
# usage: setup.sh VENV [PYTHON]
# Makes the virtual environment with everything a developer needs, from the pinned files only,
# and installs the package into it in editable form.
set -eu
cd "$(dirname "$0")/.."
venv=$1
python=${2:-}
[ -n "$python" ] || python=$(scripts/find_python.sh)

if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    echo "$python has no ensurepip, which a virtual environment needs: apt-get install python$version-venv" >&2
    exit 1
fi

# An environment of another interpreter is replaced; the same one is brought up to date.
version_of() { "$1" -c 'import sys; print(sys.version)' 2>/dev/null || true; }
if [ "$(version_of "$venv/bin/python")" != "$(version_of "$python")" ]; then
    echo "setup: creating $venv with $("$python" -V)"
    "$python" -m venv --clear "$venv"
fi

pip() { "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$@"; }
requirements=requirements-dev.txt

# uv installs in 4 s what takes pip a minute, but it does not read pip's configuration (mirrors, proxies,
# certificates): where it cannot install, pip does. Both check the same hashes.
only_uv=$(mktemp)
trap 'rm -f "$only_uv"' EXIT
awk '/^uv==/ { on = 1 } on { print } on && !/\\$/ { exit }' "$requirements" >"$only_uv"
echo "setup: installing the pinned requirements"
with_uv() {
    pip --require-hashes -r "$only_uv" 2>/dev/null &&
        VIRTUAL_ENV=$venv "$venv/bin/uv" pip install --quiet --require-hashes -r "$requirements" 2>/dev/null
}
if ! with_uv; then
    echo "setup: uv cannot install here, so pip does (a minute or so)"
    pip --require-hashes -r "$requirements"
fi
# The build backend is pinned too: no isolation, no download.
pip --no-deps --no-build-isolation --editable .
