#!/bin/bash
# download.sh FOLDER SECONDS PACKAGE…: download packages and what they depend on, with apt's lists where those are older than
# so many seconds, into FOLDER/packages.tar. What apt finds in FOLDER already is not downloaded again.
set -euo pipefail
folder=$1 seconds=$2
shift 2
cd "$folder"
mkdir -p lists/partial archives/partial
options=(-q -o "Dir::Cache=$folder")
# As Ansible's module tells how old they are; a system that was just installed has none at all.
stamp=/var/lib/apt/periodic/update-success-stamp
[ -e $stamp ] || stamp=/var/lib/apt/lists
if ! compgen -G '/var/lib/apt/lists/*Packages*' >/dev/null || [ $(($(date +%s) - $(stat --format=%Y $stamp))) -ge "$seconds" ]; then
  options+=(-o "Dir::State::Lists=$folder/lists")
  # As they come: only so can another host's apt compare them with what the mirror has signed.
  kept=(-o Acquire::GzipIndexes=true)
  for kind in Packages Translations; do
    kept+=(-o "Acquire::IndexTargets::deb::$kind::KeepCompressedAs=xz gz bz2 lzma zst lz4")
  done
  apt-get "${options[@]}" "${kept[@]}" update
fi
apt-get "${options[@]}" --yes --download-only --no-install-recommends install "$@"
find lists archives -maxdepth 1 -type f ! -name lock ! -name '*Release' ! -name '*Release.gpg' -print0 |
  tar --create --file=packages.tar.new --remove-files --null --files-from=-
mv packages.tar.new packages.tar
rm -rf lists archives ./*.bin
