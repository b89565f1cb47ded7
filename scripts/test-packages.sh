#!/bin/sh
# Debian packages that the tests need beyond those of `make up`: a browser, a database server,
# WebDAV's clients, an object store, a web server to compare with, and a kernel with project quotas.
set -eu

missing=""
[ -x /usr/bin/chromium ] || missing="$missing chromium fonts-dejavu-core"
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing="$missing postgresql"
# A pattern of apt's: the package is named after PostgreSQL's version.
ls /usr/share/postgresql/*/extension/q3c.control >/dev/null 2>&1 || missing="$missing ^postgresql-[0-9]+-q3c$"
for program in litmus cadaver rclone; do
    command -v "$program" >/dev/null || missing="$missing $program"
done
for program in ceph-mon ceph-osd radosgw; do
    command -v "$program" >/dev/null || missing="$missing $program"
done
[ -x /usr/sbin/nginx ] || missing="$missing nginx-light"
# It exists for x86-64 only.
[ "$(uname -m)" != x86_64 ] || command -v linux.uml >/dev/null || missing="$missing user-mode-linux"
[ -n "$missing" ] || exit 0

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "The tests need more packages. Run: sudo apt-get install$missing" >&2
    exit 1
fi
echo "Installing$missing"
apt-get update -q >/dev/null
# shellcheck disable=SC2086 # a list of words
DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends $missing >/dev/null
