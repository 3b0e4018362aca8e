#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# topic ls, info, create and rm while a daemon runs and after it was killed.
# shellcheck disable=SC2317 # ok calls functions by name
# shellcheck source-path=SCRIPTDIR source=cli.inc.sh
. "$(dirname "$0")/cli.inc.sh"

succeeds() {
    run "$AETHER_CLI" "$@"
    [ "$status" -eq 0 ] && [ ! -s "$tmp/err" ]
}
lists() {
    run "$AETHER_CLI" topic ls --json
    [ "$status" -eq 0 ] && json_rows "$tmp/out" "$1"
}
informs() {
    run "$AETHER_CLI" topic info --json "$1"
    [ "$status" -eq 0 ] && json_rows "$tmp/out" "$2"
}
shows() {
    succeeds topic "${@:2}" && grep -qE -- "$1" "$tmp/out" && return
    sed 's/^/# /' "$tmp/out"
    return 1
}

start_daemon || exit 1
ok "ls of nothing" lists 'rows == []'
ok "create" succeeds topic create a/b --max-message 100 --capacity 64
ok "create again, the same" succeeds topic create a/b --max-message 100 --capacity 64
ok "create again, as it is" succeeds topic create a/b
ok "create again, a larger size" succeeds topic create a/b --max-message 200
ok "create with a bad capacity" refuses 2 "power of two" topic create c --capacity 100
ok "create with a lane as large as the limit: exact sizes" refuses 1 "limit of 1073741824 bytes: raise" topic create e1 --max-message 1M --lane 1G
ok "create with all options" succeeds topic create all --max-message 1M --inline 120 --capacity 16 --lane 4M --slow evict --evict-lag 12 \
    --publishers unbiased --latency all --type 'std::quote:7:64'
ok "create with all options: figures" informs all 'rows[0]["max_message"] == 1 << 20 and rows[0]["inline_max"] == 120 and rows[0]["slot_size"] == 128
    and rows[0]["capacity"] == 16 and rows[0]["lane_bytes"] == 4 << 20 and rows[0]["slow"] == "evict" and rows[0]["evict_lag"] == 12
    and rows[0]["type_name"] == "std::quote" and rows[0]["type_version"] == 7 and rows[0]["type_size"] == 64
    and rows[0]["publishers_mode"] == "unbiased" and rows[0]["latency_mode"] == "all" and rows[0]["publishers"] == [] and rows[0]["publisher_joins"] == 0 and rows[0]["evicted"] == 0 and rows[0]["memory_bytes"] < 1 << 20'
ok "create with all options: info" shows 'longer ones in a lane of 4 MiB a publisher' info all
ok "create with all options: slow" shows '^slow .* from a lag of 12 on; 0 of those attached are evicted' info all
ok "create with all options: ls" shows '^all .* evict  std::quote:7:64$' ls
ok "create with all options: publishers" shows '^publishers +up to 64, unbiased; 0 attached, 0 since' info all
ok "create with all options: latency" shows '^latency +measured with each message$' info all
ok "create again, other latencies" refuses 1 "" topic create all --latency off
ok "create again, other publishers" refuses 1 "states exclusive publishers: let them agree" topic create all --publishers exclusive
ok "create again, a smaller lane" succeeds topic create all --lane 2M
ok "create again, another type" refuses 1 "std::quote" topic create all --type other
ok "create again, another policy" refuses 1 "" topic create all --slow evict --evict-lag 8
ok "a type without version and size" succeeds topic create typed --type plain
ok "a type without version and size: info" shows "^type +plain:0, stated by 'aether-cli topic create' \\(pid [0-9]+\\)$" info typed
ok "a topic takes the first type" succeeds topic create a/b --type later:1
ok "a topic takes the first type: figures" informs a/b 'rows[0]["type_name"] == "later" and rows[0]["type_version"] == 1'
ok "rm" succeeds topic rm all
ok "rm" succeeds topic rm typed
ok "create with a lane smaller than a message" refuses 2 "" topic create small --max-message 1M --lane 64K
ok "create with a lag out of range" refuses 2 "" topic create small --capacity 16 --evict-lag 7
ok "create with a preset" succeeds topic create fast --max-message 1K --preset throughput
ok "create with a name that isn't UTF-8" succeeds topic create $'z\xff\e[2J'
ok "ls --json" lists '[r.get("topic") for r in rows] == ["a/b", "fast", None]'
ok "ls --json: figures" lists 'rows[0]["capacity"] == 64 and rows[0]["max_message"] == 200 and rows[0]["slot_size"] == 208
    and rows[0]["messages"] == 0 and rows[1]["capacity"] == 4096 and rows[1]["memory_bytes"] > 4 << 20'
ok "ls --json: name" lists 'rows[2]["topic_b64"] == "ev8bWzJK"'
ok "ls" shows '^a/b  .*0 .* 200 B .* 64 .* wait  later:1$' ls
ok "ls escapes" shows '^z\\xff\\x1b\[2J ' ls
ok "info" shows '^ring +64 slots of 208 B, 13 KiB$' info a/b
ok "info: publishers" shows '^publishers +up to 64 \(shared\); 0 attached' info a/b
ok "info: memory" shows '^memory .* allocated now$' info a/b
ok "info: plurals" shows '^found full +0 times$' info a/b
ok "info: nobody" shows 'Nobody is attached' info a/b
ok "info of none" refuses 4 "no topic 'x'" topic info x
ok "rm of none" refuses 4 "x" topic rm x
ok "rm" succeeds topic rm fast
ok "rm again" refuses 4 "fast" topic rm fast
ok "rm: it is gone" lists 'len(rows) == 2'

"$AETHER_CLI" sub a/b --raw --policy reliable >"$tmp/sub1" &
started+=($!)
sub1=$!
"$AETHER_CLI" sub a/b --raw --policy best-effort >"$tmp/sub2" &
started+=($!)
sub2=$!
mkfifo "$tmp/lines"
"$AETHER_CLI" pub a/b <"$tmp/lines" &
started+=($!)
pub=$!
exec 9>"$tmp/lines"
until_peers a/b publishers 1
until_peers a/b reliable 1
until_peers a/b best-effort 1
printf 'one\ntwo\nthree\n' >&9
until_true topic_has a/b messages 3
printf 'one\ntwo\nthree\nfour\n' >"$tmp/four"

caught_up() { informs a/b '[p for p in rows[0]["subscribers"] if p["role"] == "reliable"][0]["lag"] == 0'; }
ok "info: the subscriber has caught up" until_true caught_up
ok "info --json: peers" informs a/b "sorted((p['role'], p['pid'], p['client']) for p in rows[0]['publishers'] + rows[0]['subscribers']) ==
    [('best-effort', $sub2, 'aether-cli sub'), ('publisher', $pub, 'aether-cli pub'), ('reliable', $sub1, 'aether-cli sub')]"
ok "info --json: figures" informs a/b '(lambda p: p["publisher"]["next"] == 3 and p["publisher"]["joined"] == 0
    and p["reliable"]["joined"] == 0 and p["reliable"]["next"] == 3 and p["reliable"]["lost"] == 0
    and p["best-effort"]["joined"] <= 3 and p["best-effort"]["lag"] <= 3)({x["role"]: x for x in rows[0]["publishers"] + rows[0]["subscribers"]})'
ok "info: peers" shows "^reliable +$sub1 +aether-cli sub +0 +3 +0 +0 +0 +- +no\$" info a/b
ok "rm of a topic in use" refuses 1 "" topic rm a/b

# A second publisher of the shared topic, and a publisher of an exclusive topic.
mkfifo "$tmp/more"
"$AETHER_CLI" pub a/b <"$tmp/more" &
started+=($!)
more=$!
exec 7>"$tmp/more"
until_peers a/b publishers 2
ok "info --json: two publishers" informs a/b "rows[0]['publishers_mode'] == 'shared' and {p['pid']: (p['joined'], p['next'], p['full'])
    for p in rows[0]['publishers']} == {$pub: (0, 3, 0), $more: (3, 3, 0)}"
ok "info: two publishers" shows "^publisher +$more +aether-cli pub +3 +3 +- +- +- +0 +-\$" info a/b
exec 7>&-
wait "$more"
ok "one of them has left" until_peers a/b publishers 1
mkfifo "$tmp/only"
"$AETHER_CLI" pub only --publishers exclusive <"$tmp/only" &
started+=($!)
only=$!
exec 7>"$tmp/only"
until_peers only publishers 1
ok "exclusive: info" shows '^publishers +one at a time \(exclusive\); 1 attached, 1 since' info only
ok "exclusive: a second publisher" refuses 1 "exclusive and has a publisher" pub only x
ok "exclusive: it names the first" refuses 1 "publisher: 'aether-cli pub' (pid $only); it must" pub only x
ok "exclusive: create as shared" refuses 1 "has exclusive publishers, as publisher" topic create only --publishers shared
ok "exclusive: create without a choice takes it as it is" succeeds topic create only
ok "exclusive: --json" informs only 'rows[0]["publishers_mode"] == "exclusive" and len(rows[0]["publishers"]) == 1'
exec 7>&-
wait "$only"
ok "exclusive: the next one" until_true succeeds pub only x
ok "exclusive: rm" until_true succeeds topic rm only

# What a subscriber asks for stays with the shape that comes of it, and isn't a default.
"$AETHER_CLI" sub asked --count 1 --max-message 1M --publishers exclusive --name grabber >/dev/null &
started+=($!)
grabber=$!
waits() { "$AETHER_CLI" topic ls --waiting | grep -q "^waiting for a publisher: asked (grabber, pid $grabber): asked for max message 1 MiB, exclusive publishers\$"; }
ok "asked for: the subscriber waits" until_true waits
"$AETHER_CLI" pub asked hi --name feed
wait "$grabber"
ok "asked for: a larger size" refuses 1 "at most 1 MiB, as subscriber 'grabber' (pid $grabber) asked for when publisher 'feed' (pid " pub asked --max-message 8M hi
ok "asked for: info" shows "^asked for +max message 1 MiB, exclusive publishers, by subscriber 'grabber' \\(pid $grabber\\)\$" info asked
ok "asked for: --json" informs asked "rows[0]['stated'] == {} and rows[0]['asked'] == {'max_message': 1 << 20, 'publishers': 'exclusive'}
    and rows[0]['asked_by'] == {'client': 'grabber', 'pid': $grabber}"
ok "asked for: rm" until_true succeeds topic rm asked

kill -9 "$daemon"
wait "$daemon" 2>/dev/null
printf 'four\n' >&9
ok "beside a dead daemon: the message arrives" until_true cmp -s "$tmp/sub1" "$tmp/four"
ok "beside a dead daemon: ls" lists 'rows[0]["messages"] == 4 and rows[0]["publishers"] == 1'
ok "beside a dead daemon: info" informs a/b 'len(rows[0]["publishers"]) + len(rows[0]["subscribers"]) == 3'
ok "beside a dead daemon: create" refuses 3 "start it with" topic create d
start_daemon
ok "beside a successor: info" informs a/b 'len(rows[0]["publishers"]) + len(rows[0]["subscribers"]) == 3 and rows[0]["messages"] == 4'
exec 9>&-
wait "$pub"
ok "the publisher has left" until_peers a/b publishers 0
kill -9 "$sub1"
ok "a killed subscriber is gone" until_peers a/b reliable 0
kill "$sub2"
wait "$sub2"
ok "rm after all have left" until_true succeeds topic rm a/b
finish
