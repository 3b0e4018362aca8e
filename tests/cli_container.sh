#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The programs that read out an instance follow its socket: in a container with a /dev/shm of its own, with other pids,
# and where the socket is seen under another path.
# shellcheck disable=SC2317 # ok calls functions by name
# shellcheck source-path=SCRIPTDIR source=cli.inc.sh
. "${BASH_SOURCE%/*}/cli.inc.sh"

unshare=(unshare --mount)
[ "$(id -u)" = 0 ] || unshare+=(--map-root-user)
if ! "${unshare[@]}" mount -t tmpfs none /mnt 2>/dev/null; then
    echo "1..0 # SKIP no mount namespaces here"
    exit 0
fi

# inside WHAT COMMAND...: runs the command in a mount namespace in which WHAT was done.
private='mount -t tmpfs none /dev/shm'
inside() {
    local what=$1
    shift
    run "${unshare[@]}" sh -ec "$what; exec \"\$@\"" sh "$@"
}
# shows WHAT WORDS ARGUMENT...: aether-cli prints WORDS there, and nothing on stderr.
shows() {
    local what=$1 words=$2
    shift 2
    inside "$what" "$AETHER_CLI" "$@"
    [ "$status" -eq 0 ] && grep -q -- "$words" "$tmp/out" && [ ! -s "$tmp/err" ] && return
    sed 's/^/# /' "$tmp/out" "$tmp/err"
    return 1
}
fails_inside() {
    local what=$1 want=$2 words=$3
    shift 3
    inside "$what" "$AETHER_CLI" "$@"
    failed_with "$want" "$words"
}

start_daemon || exit 1
"$AETHER_CLI" topic create large --max-message 1M
seq 100 | "$AETHER_CLI" pub market/eur
"$AETHER_CLI" sub market/eur --policy reliable --from oldest >"$tmp/sub" 2>&1 &
started+=($!)
sub=$!
until_peers market/eur reliable 1
until_true grep -q 100 "$tmp/sub"

# ---- a private /dev/shm
ok "topic ls" shows "$private" '^market/eur  *100 ' topic ls
ok "topic info" shows "$private" "^aether-cli sub  *$sub  *reliable" topic info market/eur
ok "stats" shows "$private" '^market/eur  *100 ' stats
ok "stats says that the daemon runs" shows "$private" '"running":true' stats --json
ok "lag" shows "$private" '^market/eur .*reliable' lag
ok "hz" shows "$private" 'market/eur' hz --count 1 --window 0.1
ok "latency" shows "$private" '' latency market/eur
ok "clients" shows "$private" ' aether-cli sub ' clients
ok "clients' statistics have a size" shows "$private" '"stats_bytes":[1-9]' clients --json
ok "check" shows "$private" '^AETHER OK' check
ok "top" shows "$private" 'market/eur' top --batch --count 1
ok "a lane's memory is counted" shows "$private" '"topic":"large".*"memory_bytes":[1-9]' topic ls --json
same() {
    "$AETHER_CLI" topic info market/eur --json | sed 's/"[a-z_]*_ns":[0-9]*,*//g' >"$tmp/outside"
    inside "$private" "$AETHER_CLI" topic info market/eur --json
    sed 's/"[a-z_]*_ns":[0-9]*,*//g' "$tmp/out" | cmp - "$tmp/outside"
}
ok "the figures are the same" same

# ---- a publisher there says whom it waits for; if aetherd is stopped, it says so without names
"$AETHER_CLI" topic create held --capacity 8
"$AETHER_CLI" sub held --policy reliable >"$tmp/held" 2>&1 &
held=$!
started+=("$held")
until_peers held reliable 1
kill -STOP "$held"
yes | "${unshare[@]}" sh -ec "$private; exec \"\$@\"" sh "$AETHER_CLI" pub held 2>"$tmp/stall" &
held_pub=$!
started+=("$held_pub")
ok "pub: whom it waits for" until_true grep -q "^aether-cli: topic 'held' full for .* s: waits for 'aether-cli sub' (pid $held, stopped), 8 messages behind" "$tmp/stall"
kill -STOP "$daemon"
ok "pub, stopped: without names" until_true grep -q "^aether-cli: topic 'held' full for .* s: waits for a subscriber, 8 messages behind" "$tmp/stall"
kill -CONT "$daemon"
kill "$held_pub" "$held"
kill -CONT "$held"
wait "$held_pub" "$held"

# ---- other pids: the pid of another process there isn't taken for the subscriber
other_pids() {
    run "${unshare[@]}" --pid --fork --mount-proc sh -ec "$private; exec \"\$@\"" sh "$AETHER_CLI" clients --json
    json_rows "$tmp/out" 'len(rows) == 1 and rows[0]["process"] is None'
}
ok "processes of other pids" other_pids

# ---- another path, with and without a private /dev/shm
mkdir "$tmp/elsewhere" "$tmp/file"
touch "$tmp/file/it.sock"
ln -s "$AETHER_SOCKET" "$tmp/link.sock"
directory="mount --bind $tmp/s $tmp/elsewhere"
file="mount --bind $AETHER_SOCKET $tmp/file/it.sock"
for more in "" "; $private"; do
    ok "the directory is mounted elsewhere$more" shows "$directory$more" '^market/eur  *100 ' --socket "$tmp/elsewhere/aetherd.sock" topic ls
    ok "the socket is mounted elsewhere$more" shows "$file$more" '"running":true' --socket "$tmp/file/it.sock" stats --json
    ok "a symbolic link$more" shows "true$more" '^market/eur  *100 ' --socket "$tmp/link.sock" topic ls
done

# ---- an aether-metrics that is there when the daemon is killed and another one begins
if [ -n "${AETHER_METRICS:-}" ]; then
    "${unshare[@]}" sh -ec "$private; exec \"\$@\"" sh "$AETHER_METRICS" --socket "$AETHER_SOCKET" --listen "unix:$tmp/s/m.sock" 2>"$tmp/metrics.log" &
    metrics=$!
    started+=("$metrics")
    page_has() { curl -sS --unix-socket "$tmp/s/m.sock" http://localhost/metrics | grep -q -- "$1"; }
    if command -v curl >/dev/null && until_true test -S "$tmp/s/m.sock"; then
        ok "aether-metrics" until_true page_has 'topic="market/eur"'
    fi
fi

# ---- no daemon
kill -9 "$daemon"
wait "$daemon" 2>/dev/null
daemon=
ok "killed: nothing is there" fails_inside "$private" 3 "no aetherd runs at $AETHER_SOCKET, and this program's /dev/shm has nothing that one left there: start it with: aetherd" topic ls
link_names() { run "$AETHER_CLI" --socket "$tmp/link.sock" topic ls && grep -q '^market/eur  *100 ' "$tmp/out"; }
ok "killed: a symbolic link still has the names" link_names
start_daemon || exit 1
ok "started again" shows "$private" '^market/eur  *100 ' topic ls
if [ -n "${metrics:-}" ]; then
    "$AETHER_CLI" topic create later
    command -v curl >/dev/null && ok "aether-metrics goes on" until_true page_has 'topic="later"'
    kill "$metrics"
    wait "$metrics"
fi

# ---- a stopped daemon
kill -STOP "$daemon"
ok "stopped: names do" shows true '^market/eur  *100 ' topic ls
ok "stopped: nothing else does" fails_inside "$private" 1 "no answer within 1 second; is it stopped?" topic ls
kill -CONT "$daemon"

finish
