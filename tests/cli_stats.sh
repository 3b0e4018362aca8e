#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# stats and shutdown while a daemon runs, after it was killed, after a successor has started, and after a clean stop.
# shellcheck disable=SC2317 # ok calls functions by name
# shellcheck source-path=SCRIPTDIR source=cli.inc.sh
. "$(dirname "$0")/cli.inc.sh"

stats() {
    local expression=$1
    shift
    run "$AETHER_CLI" stats --json "$@"
    [ "$status" -eq 0 ] && [ ! -s "$tmp/err" ] && json_rows "$tmp/out" "$expression"
}
# A rate may be 0 when the machine is too busy for the publisher: cases with a rate repeat stats until it isn't.
shows() {
    local pattern=$1
    shift
    run "$AETHER_CLI" stats "$@"
    [ "$status" -eq 0 ] && grep -qE -- "$pattern" "$tmp/out" && return
    sed 's/^/# /' "$tmp/out" "$tmp/err"
    return 1
}
stops() {
    run "$AETHER_CLI" shutdown
    [ "$status" -eq 0 ] && [ ! -s "$tmp/err" ] && [ ! -s "$tmp/out" ]
}

start_daemon || exit 1
ok "an idle daemon" stats "len(rows) == 1 and rows[0]['instance']['running'] is True and rows[0]['instance']['pid'] == $daemon
    and rows[0]['instance']['socket'] == '$AETHER_SOCKET' and rows[0]['instance']['topics'] == 0
    and rows[0]['instance']['memory_bytes'] == 0 and 0 < rows[0]['instance']['uptime_s'] < 3600"
ok "an idle daemon, text" shows "^aetherd at $AETHER_SOCKET: pid $daemon, up .*, 0 of [0-9]+ topics, 0 of [0-9]+ clients, 0 B\$"

"$AETHER_CLI" sub b --raw --policy reliable >"$tmp/copy" &
sub=$!
started+=("$sub")
until_true has_joined "$sub"
"$AETHER_CLI" pub a --size 100 --rate 2000 &
pub=$!
started+=("$pub")
until_peers a publishers 1
"$AETHER_CLI" pub b 'a message' || exit 1
ok "topics, by name" stats '[r.get("topic") for r in rows] == [None, "a", "b"] and rows[0]["instance"]["topics"] == 2
    and rows[0]["instance"]["memory_bytes"] == rows[1]["memory_bytes"] + rows[2]["memory_bytes"]'
ok "figures" until_true stats 'rows[1]["publishers"] == 1 and rows[1]["subscribers_by"]["reliable"] == 0 and rows[1]["published_per_s"] > 0 and rows[1]["messages"] > 0
    and rows[2]["messages"] == 1 and rows[2]["published_per_s"] == 0 and rows[2]["subscribers_by"]["reliable"] == 1 and rows[2]["lag"] == 0'
ok "--watch --count" until_true stats '[("instance" in r) for r in rows] == [True, False, False] * 3
    and rows[1]["messages"] < rows[4]["messages"] < rows[7]["messages"]' --watch 0.05 --count 3
ok "text" shows '^TOPIC +MESSAGES +RATE +PUB +RELIABLE +BEST EFFORT +EVICTED +LAG +SLOTS +STALLED +LOST +P99 '
ok "text: what the figures are of" shows '^Rates of the last [0-9.]+ m?s; messages, stalls, losses and P99 since each topic was created$'
ok "text: a topic" shows '^b +1 +0/s +0 +1 +0 +0 +0 +[0-9,]+ +0 s +0 +[0-9.]+ [^ ]*s +[0-9.]+ [KM]iB$'
run "$AETHER_CLI" stats --watch --count 2
ok "--watch prints blocks without a terminal" [ "$(grep -c '^aetherd at' "$tmp/out")" -eq 2 ]
without_escapes() { ! grep -q $'\e' "$tmp/out"; }
ok "--watch doesn't redraw without a terminal" without_escapes
"$AETHER_CLI" stats --watch 0.01 2>"$tmp/err" | head -n 1 >"$tmp/out"
status=${PIPESTATUS[0]}
ok "stats --watch | head ends" [ "$status" -eq 0 ]
ok "stats --watch | head is quiet" [ ! -s "$tmp/err" ]

kill -9 "$daemon"
wait "$daemon" 2>/dev/null
ok "a dead daemon" until_true stats "rows[0]['instance']['running'] is False and rows[0]['instance']['pid'] == $daemon and rows[0]['instance']['uptime_s'] == 0
    and rows[1]['published_per_s'] > 0 and rows[2]['messages'] == 1"
ok "a dead daemon, text" shows "^aetherd at $AETHER_SOCKET: not running \\(last: pid $daemon\\), 2 of"
ok "shutdown of a dead daemon" refuses 3 "start it with" shutdown
dead=$daemon
start_daemon
ok "a successor" until_true stats "rows[0]['instance']['running'] is True and rows[0]['instance']['pid'] == $daemon != $dead and rows[1]['published_per_s'] > 0"

ok "shutdown" stops
has_ended() { [ ! -e "/proc/$daemon" ] || grep -q '^State:.Z' "/proc/$daemon/status"; }
ok "shutdown has waited" until_true has_ended
ok "the daemon ends with 0" wait "$daemon"
ok "topics in use stay" until_true stats "rows[0]['instance']['running'] is False and rows[1]['topic'] == 'a' and rows[1]['published_per_s'] > 0"
ok "shutdown again" refuses 3 "no aetherd at" shutdown
start_daemon
ok "they are adopted" stats "rows[0]['instance']['running'] is True and rows[1]['publishers'] == 1"
kill "$pub"
wait "$pub"
kill "${started[0]}"
wait "${started[0]}"
until_peers a publishers 0
until_peers b reliable 0
ok "shutdown with no client attached" stops
wait "$daemon"
run "$AETHER_CLI" topic info a
# The daemon leaves its registry if it didn't notice yet that the client that stopped it had gone.
ok "no topic is left" [ "$status" -ge 3 ]
start_daemon
kill "$daemon"
wait "$daemon"
daemon=
ok "nothing is left" refuses 3 "none has left topics" stats
finish
