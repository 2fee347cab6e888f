#!/bin/sh
# pause-after-end SECONDS COMMAND…: run the command; when it ends by itself, wait before ending, too. Supervisor starts a
# program again at once and has no setting for a pause (systemd has: RestartSec=).
pause=$1
shift
"$@" &
child=$!
trap 'kill -TERM "$child" 2>/dev/null; wait "$child"; exit 0' TERM INT
wait "$child"
status=$?
sleep "$pause" &
child=$!
wait "$child"
exit "$status"
