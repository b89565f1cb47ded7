#!/bin/bash
# SciServer's convention: the platform starts a container with `/opt/startup.sh <base path>`.
# Under JupyterHub the environment says everything, the base path too. Elsewhere JupyterLab runs with its own token
# ($JUPYTER_TOKEN, else a random one in the log): whoever reaches the port must still show it.
set -eu
base_path="/${1:-}/"

if [ -n "${JUPYTERHUB_SERVICE_URL:-}" ]; then
    exec sciserver-singleuser
fi
exec jupyter lab --no-browser --ip=0.0.0.0 --port=8888 --ServerApp.base_url="${base_path//\/\//\/}" \
    --ServerApp.allow_remote_access=True
