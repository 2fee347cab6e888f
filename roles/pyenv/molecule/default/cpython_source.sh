#!/bin/sh
# Fetch the source of CPython 3.11.2 that Debian 12 has, with a list of sources of its own.
set -eu
folder=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$folder" "$work/lists/partial"
echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian bookworm main" >"$work/sources.list"
set -- -q -o "Dir::Etc::SourceList=$work/sources.list" -o Dir::Etc::SourceParts=/dev/null -o "Dir::State::Lists=$work/lists" \
  -o APT::Sandbox::User=root
apt-get "$@" update
cd "$work"
apt-get "$@" source --download-only python3.11
mv python3.11_3.11.2.orig.tar.gz "$folder/Python-3.11.2.tar.gz"
