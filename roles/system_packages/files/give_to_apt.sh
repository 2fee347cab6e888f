#!/bin/bash
# give_to_apt.sh ARCHIVE LISTS PACKAGES: lay the archive's files where apt keeps what it has not downloaded wholly, in `partial`
# of its two folders. There apt checks each: a list against what the mirror has signed, a package against the list. In the
# folders themselves it would not. Another device has made the archive: it is unpacked as the user that apt downloads as,
# who can write nowhere else.
set -euo pipefail
archive=$1
status=0
unpack() { # FOLDER, and what is not for it
  local partial=$1/partial before
  mkdir -p "$1"
  before=$(stat --format=%Y "$1")
  install --directory --owner=_apt --mode=0700 "$partial"
  touch --date="@$before" "$1" # its age says when apt last asked for its lists
  runuser -u _apt -- tar --extract --file="$archive" --directory="$partial" --strip-components=1 --no-same-permissions \
    --exclude="$2" || status=$?
  find "$partial" -mindepth 1 ! -type f -delete
}
unpack "$2" 'archives/*'
unpack "$3" 'lists/*'
exit $status
