#!/bin/sh
# Make the virtual environment with the pinned packages. Called by make, with PYTHON and VENV set.
set -eu

fail() {
    echo "$1" >&2
    exit 1
}

command -v "$PYTHON" >/dev/null || fail "$PYTHON was not found: install Python 3.11 or newer (apt-get install python3 python3-venv)."
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$("$PYTHON" --version) is too old: Python 3.11 or newer is needed. Name another one: make up PYTHON=python3.12"

if ! "$PYTHON" -c 'import ensurepip' 2>/dev/null; then
    # Debian and Ubuntu ship this part of Python as a package of its own, one for each version.
    package="$("$PYTHON" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "Installing $package"
        apt-get update -q >/dev/null
        DEBIAN_FRONTEND=noninteractive apt-get install -qy "$package" >/dev/null ||
            fail "$package could not be installed: try 'apt-get install $package' and repeat."
    else
        fail "Python's venv module is incomplete: run 'sudo apt-get install $package' and repeat."
    fi
fi

echo "Installing the Python packages into $VENV"
[ -x "$VENV/bin/python" ] || "$PYTHON" -m venv "$VENV"
"$VENV/bin/python" -m pip install --quiet --constraint constraints.txt uv
# Behind a proxy that re-signs TLS, uv must trust what the machine trusts.
[ -n "${SSL_CERT_FILE:-}" ] || [ ! -f /etc/ssl/certs/ca-certificates.crt ] ||
    export SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
"$VENV/bin/uv" pip install --quiet --python "$VENV/bin/python" --constraint constraints.txt \
    --editable '.[postgresql,sqlserver,trino,test,lint]' \
    --editable 'clients/python[astropy,polars]' ||
    fail "The packages could not be installed: check that pypi.org can be reached, then repeat."
