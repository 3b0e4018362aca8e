#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# ping: a daemon that answers, comes later, is stopped, dead, another user's or hidden; and the session of the README.
# shellcheck disable=SC2317 # ok calls functions by name
# shellcheck source-path=SCRIPTDIR source=cli.inc.sh
. "$(dirname "$0")/cli.inc.sh"

answers() {
    run "$AETHER_CLI" ping "$@"
    [ "$status" -eq 0 ] && [ ! -s "$tmp/err" ] &&
        grep -qE "^aetherd [0-9.]+ \(pid $daemon, uid $(id -u)\) answers at $AETHER_SOCKET in [0-9.]+ (µs|us|ms|s)\$" "$tmp/out" && return
    sed 's/^/# /' "$tmp/out" "$tmp/err"
    return 1
}

ok "no daemon" refuses 3 "no aetherd at $AETHER_SOCKET: start it with: aetherd" ping
ok "no daemon, and none comes" refuses 3 "start it with: aetherd" ping --wait 50ms
ok "a wrong time" refuses 2 "--wait 'soon': use a time" ping --wait soon

# pings ARGUMENT...: a ping in the background that waits already.
pings() {
    "$AETHER_CLI" "$@" >"$tmp/ping.out" 2>"$tmp/ping.err" </dev/null &
    ping=$!
    started+=("$ping")
    until_true watches "$ping"
}
watches() { grep -qs '^inotify wd' /proc/"$1"/fdinfo/*; }
pinged() { wait "$ping" && grep -q "^aetherd .* answers at" "$tmp/ping.out" && [ ! -s "$tmp/ping.err" ]; }

pings ping --wait 100s
ok "it sleeps while it waits" grep -q '^State:.S' "/proc/$ping/status"
kill "$ping"
ok "SIGTERM ends the wait" ends_with "$ping" 143
pings ping --wait 100s
start_daemon || exit 1
ok "a daemon that comes later" pinged
ok "a daemon that runs" answers
ok "nobody becomes a client" [ "$("$AETHER_CLI" clients)" = "No client." ]
is_json() {
    run "$AETHER_CLI" ping --json
    [ "$status" -eq 0 ] && json_rows "$tmp/out" "len(rows) == 1 and rows[0]['pid'] == $daemon and rows[0]['uid'] == $(id -u)
        and rows[0]['socket'] == '$AETHER_SOCKET' and 0 < rows[0]['round_trip_ns'] < 60e9
        and '$("$AETHERD" --version)' == 'aetherd ' + rows[0]['version']"
}
ok "--json" is_json

kill -STOP "$daemon"
ok "a daemon that is stopped" refuses 1 "no answer within 5 seconds; is it stopped?" ping
ok "a daemon that is stopped, and --wait" refuses 1 "no answer within 0.3 seconds; is it stopped?" ping --wait 300ms
ok "a daemon that is stopped, and --wait 1s" refuses 1 "no answer within 1 second; is it stopped?" ping --wait 1s
"$AETHER_CLI" ping --wait 100s >"$tmp/ping.out" 2>"$tmp/ping.err" </dev/null &
ping=$!
started+=("$ping")
asks() { find "/proc/$ping/fd" -lname 'socket:*' | grep -q .; }
until_true asks
kill -CONT "$daemon"
ok "a daemon that is stopped and goes on" pinged
kill -STOP "$daemon"
kill -CONT "$daemon"
ok "it goes on" answers

# -ENOENT of the registry isn't -ENOENT of the socket: aetherd runs.
registry=$(grep -l -- "$AETHER_SOCKET" /dev/shm/aether-*.registry)
mv "$registry" "$registry.away"
ok "a daemon whose registry was removed" refuses 1 "was removed from /dev/shm: restart aetherd" ping
ok "topic ls of a daemon whose registry was removed" refuses 1 "was removed from /dev/shm: restart aetherd" topic ls
mv "$registry.away" "$registry"
ok "the registry is back" answers

kill -9 "$daemon"
wait "$daemon" 2>/dev/null
ok "after a kill the socket file is still there" [ -S "$AETHER_SOCKET" ]
ok "a dead daemon" refuses 3 "no aetherd at $AETHER_SOCKET: start it with: aetherd" ping
pings ping --wait 100s
start_daemon || exit 1
ok "its successor" pinged
"$AETHER_CLI" shutdown || exit 1

# The directory of the socket comes later, and the one above it, too.
socket=$AETHER_SOCKET
AETHER_SOCKET=$tmp/later/still/a.sock
pings ping --wait 100s
mkdir "$tmp/later"
mkdir "$tmp/later/still"
start_daemon || exit 1
ok "a daemon in a directory that comes later" pinged
"$AETHER_CLI" shutdown || exit 1
AETHER_SOCKET=$socket

# A wait must not poll. What is counted is divided by the time that has passed, however long that is on a busy machine.
pings ping --wait 100s
switches() { awk '/^voluntary_ctxt/ {print $2}' "/proc/$ping/status"; }
before=$(switches) from=$(date +%s%N)
sleep 2
count=$(($(switches) - before)) elapsed=$((($(date +%s%N) - from) / 1000000))
ok "it wakes up 4 times a second: $count in $elapsed ms" [ "$count" -le $((elapsed / 250 + 2)) ]
kill "$ping"
wait "$ping"

if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
    as_nobody() { # STATUS WORDS
        run setpriv --reuid 65534 --regid 65534 --clear-groups "$tmp/bin/aether-cli" ping
        failed_with "$@"
    }
    # Where another user can find program and library.
    mkdir "$tmp/bin"
    cp "$AETHER_CLI" "$tmp/bin/aether-cli"
    find "$BUILD/src" -maxdepth 1 -name "libaether.so*" ! -type d -exec cp -P {} "$tmp/bin/" \;
    export LD_LIBRARY_PATH=$tmp/bin
    chmod 755 "$tmp" "$tmp/s" "$tmp/bin"
    start_daemon || exit 1
    ok "another user's socket" as_nobody 1 "aetherd's socket $AETHER_SOCKET belongs to uid 0; this program is uid 65534: aetherd serves its own uid and root"
    chmod 666 "$AETHER_SOCKET"
    ok "another user's daemon" as_nobody 1 "aetherd at $AETHER_SOCKET belongs to uid 0; this program is uid 65534: it serves its own uid and root"
    chmod 700 "$tmp/s"
    ok "a directory that another user can't enter" as_nobody 1 "uid 65534 may not enter the directory of aetherd's socket $AETHER_SOCKET"
    "$AETHER_CLI" shutdown || exit 1
else
    ok "another user # SKIP not root, or there is no setpriv" true
fi

# The session of the README, as it is printed there.
mkdir -p "$tmp/path"
ln -s "$(realpath "$AETHERD")" "$tmp/path/aetherd"
ln -s "$(realpath "$AETHER_CLI")" "$tmp/path/aether-cli"
sed -n '/^aetherd &$/,/^```$/p' "$SOURCE/README.md" | grep -v '^```' >"$tmp/session"
session() {
    PATH=$tmp/path:$PATH run bash -e "$tmp/session"
    [ "$status" -eq 0 ] && [ "$(grep -c . "$tmp/session")" -ge 6 ] && grep -q 'hello$' "$tmp/out" && [ ! -e "$AETHER_SOCKET" ] && return
    sed 's/^/# /' "$tmp/session" "$tmp/out" "$tmp/err"
    return 1
}
for turn in first second; do
    ok "the session of the README, $turn time" session
done
daemon=

finish
