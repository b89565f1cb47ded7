#!/bin/sh
# Install the pinned proxy. Called by make, with VENV set.
set -eu

echo "Installing the proxy"
sh scripts/npm.sh proxy ci || {
    echo "The proxy could not be installed: check that registry.npmjs.org can be reached, then repeat." >&2
    exit 1
}
