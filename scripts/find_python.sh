#!/bin/sh
# Prints the path of the first interpreter that works, of the versions asked for ("3.13 3.11").
# Without an argument: the newest on PATH that the project supports (3.11 or later).
# With one, pyenv's versions are looked at too, since its shims refuse those that are not selected.
set -eu

works() { # interpreter, expected "X.Y" or "" for any supported one
    "$1" - "$2" <<'CHECK' >/dev/null 2>&1
import sys
wanted = sys.argv[1]
found = "%d.%d" % sys.version_info[:2]
sys.exit(0 if found == wanted or (not wanted and sys.version_info >= (3, 11)) else 1)
CHECK
}

executable() { "$1" -c 'import sys; print(sys.executable)'; }

if [ $# -eq 0 ]; then
    for name in python3.13 python3.12 python3.11 python3; do
        if works "$name" ""; then executable "$name"; exit 0; fi
    done
    echo "Python 3.11 or later is needed (on Debian 12: apt-get install python3 python3-venv)" >&2
    exit 1
fi

for version in "$@"; do
    for candidate in "python$version" python3 "${PYENV_ROOT:-$HOME/.pyenv}/versions/$version"*/bin/python3; do
        if works "$candidate" "$version"; then executable "$candidate"; exit 0; fi
    done
done
echo "no Python of these versions here: $*" >&2
exit 1
