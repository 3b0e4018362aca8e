#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# latency, lag, hz, clients, check, and the figures of topic info: with publishers and subscribers that are busy,
# stopped, too slow and gone, while a daemon runs and after it was killed.
# shellcheck disable=SC2317 # ok calls functions by name
# shellcheck source-path=SCRIPTDIR source=cli.inc.sh
. "$(dirname "$0")/cli.inc.sh"

# rows EXPRESSION ARGUMENT...: aether-cli ends with 0 and prints JSON for which the expression on `rows` is true.
rows() {
    local expression=$1
    shift
    run "$AETHER_CLI" "$@"
    [ "$status" -eq 0 ] && [ ! -s "$tmp/err" ] && json_rows "$tmp/out" "$expression" 2>&1 | sed 's/^/# /' && [ "${PIPESTATUS[0]}" -eq 0 ]
}
# shows PATTERN ARGUMENT...: aether-cli ends with 0, and a line of its text matches. No output has control characters.
shows() {
    local pattern=$1
    shift
    run "$AETHER_CLI" "$@"
    [ "$status" -eq 0 ] && [ ! -s "$tmp/err" ] && ! grep -qaP '[\x00-\x08\x0b-\x1f\x7f]' "$tmp/out" && grep -qE -- "$pattern" "$tmp/out" && return
    sed 's/^/# /' "$tmp/out" "$tmp/err"
    return 1
}
# checks STATUS PATTERN OPTION...: check ends with STATUS and prints one line, which matches, and nothing on stderr.
checks() {
    local want=$1 pattern=$2
    shift 2
    run "$AETHER_CLI" check "$@"
    [ "$status" -eq "$want" ] && [ ! -s "$tmp/err" ] && [ "$(wc -l <"$tmp/out")" -eq 1 ] && grep -qE -- "$pattern" "$tmp/out" && return
    sed "s/^/# status $status: /" "$tmp/out" "$tmp/err"
    return 1
}

# checks_json STATUS EXPRESSION OPTION...: check --json ends with STATUS and prints an object for which the expression on
# `rows` is true.
checks_json() {
    local want=$1 expression=$2
    shift 2
    run "$AETHER_CLI" check --json "$@"
    [ "$status" -eq "$want" ] && [ ! -s "$tmp/err" ] && json_rows "$tmp/out" "$expression"
}

for command in lag hz clients; do
    ok "nothing there: $command" refuses 3 "none has left topics there" $command
done
ok "nothing there: latency" refuses 3 "none has left topics there" latency t
ok "nothing there: check" checks 3 "^AETHER UNKNOWN - no aetherd at $AETHER_SOCKET, and none has left topics there: "

start_daemon || exit 1
ok "no topics: lag" shows '^No subscriber\.$' lag
ok "no topics: lag --json" rows 'rows == []' lag --json
ok "no topics: hz" shows '^No topic\.$' hz --count 1 --window 0.01
ok "no topics: clients --departed" shows '^No publisher or subscriber has gone\.$' clients --departed
ok "no topics: check" checks 0 '^AETHER OK - 0 topics, 0 publishers, 0 subscribers; .* \| lag=0;;;0 age=0s;10;60;0 stuck=0;0;;0 evicted=0;0;;0 full=0s;5;30;0$'
for command in latency lag hz; do
    ok "unknown topic: $command" refuses 4 "no topic 'x'" $command x
    ok "no name: $command" refuses 2 "the topic's name is empty" $command ""
done
ok "unknown topic: check" checks 3 "^AETHER UNKNOWN - no topic 'x' at" x
ok "no name: check" checks 3 "^AETHER UNKNOWN - the topic's name is empty" ""

# ---- a topic that is busy

"$AETHER_CLI" topic create busy --latency all --max-message 100 || exit 1
"$AETHER_CLI" topic create quiet --latency off || exit 1
subscribe "$tmp/discarded" busy --raw
busy_sub=$sub
"$AETHER_CLI" pub busy --size 100 --rate 500 &
busy_pub=$!
started+=("$busy_pub")
until_peers busy publishers 1

# At most one message is on its way between two loads, so estimate and count are compared with room for some.
ok "latency --json" until_true rows "len(rows) == 1 and rows[0]['topic'] == 'busy' and rows[0]['latency_mode'] == 'all'
    and rows[0]['seconds'] is None and 100 < rows[0]['latency']['samples'] and rows[0]['latency']['count'] == sum(n for _, n in rows[0]['latency']['powers'])
    and rows[0]['latency']['count'] + rows[0]['latency']['missed'] + rows[0]['latency']['negative'] + rows[0]['latency']['overflow'] == rows[0]['latency']['samples']
    and 0 < rows[0]['latency']['p50_ns'] <= rows[0]['latency']['p90_ns'] <= rows[0]['latency']['p99_ns'] <= rows[0]['latency']['p999_ns']
        <= rows[0]['latency']['p9999_ns'] <= rows[0]['latency']['max_ns']
    and [(s['pid'], s['policy']) for s in rows[0]['subscribers']] == [($busy_sub, 'reliable')]" latency busy --json
ok "latency" shows "^aether-cli sub +$busy_sub +reliable +[0-9,]+ +[0-9,]+ +[0-9.]+ [^ ]*s " latency busy
ok "latency: together" shows '^together +- +- +[0-9,]+ +[0-9,]+ +[0-9.]+ [^ ]*s ' latency busy
ok "latency --histogram" shows '^[0-9.]+ [^ ]*s to [0-9.]+ [^ ]*s +[0-9,]+ +100\.000 % +#+$' latency busy --histogram
within_80_columns() { [ "$(sed -n '/^LATENCY/,$p' "$tmp/out" | wc -L)" -le 80 ]; }
ok "latency --histogram: its width" within_80_columns
ok "latency --histogram --json" rows "sum(n for _, n in rows[0]['latency']['buckets']) == rows[0]['latency']['count'] > 100" latency busy --histogram --json
ok "latency --watch" until_true rows "len(rows) == 2 and all(0.05 <= r['seconds'] < 60 for r in rows)
    and all(0 < r['latency']['count'] < 500 * r['seconds'] + 100 for r in rows)" latency busy --watch 0.05 --count 2 --json
ok "latency of a topic without" refuses 1 "was created with --latency off" latency quiet
json_tool() { "$AETHER_CLI" latency busy --json | python3 -m json.tool >/dev/null; }
ok "json.tool reads it" json_tool

ok "hz --json" until_true rows "len(rows) == 2 and [r['topic'] for r in rows] == ['busy', 'quiet'] and rows[0]['seconds'] >= 0.1
    and 0 < rows[0]['published_per_s'] < 5000 and 0 < rows[0]['published_bytes_per_s'] and 0 < rows[0]['delivered_per_s']
    and [p['pid'] for p in rows[0]['publishers']] == [$busy_pub] and 0 < rows[0]['publishers'][0]['published_per_s'] < 5000
    and rows[1]['published_per_s'] == 0 and rows[1]['publishers'] == []" hz --window 0.1 --count 1 --json
ok "hz: the publisher" shows "^  by +aether-cli pub +$busy_pub +[0-9.]+( [kM])?/s " hz busy --window 0.1 --count 1
ok "hz: topics that are asked for" rows "[r['topic'] for r in rows] == ['quiet'] * 3" hz quiet --window 0.01 --count 3 --json

ok "clients --json" rows "sorted((r['pid'], r['client'], r['publishers'], r['subscribers']) for r in rows) ==
    sorted([($busy_sub, 'aether-cli sub', 0, 1), ($busy_pub, 'aether-cli pub', 1, 0)])
    and all(r['uid'] == $(id -u) and r['process'] in 'RSD' and r['stats_bytes'] > 0 and r['created_ns'] > 1e18 for r in rows)" clients --json
ok "clients" shows "^ +[0-9]+  aether-cli sub +$busy_sub +$(id -u) +[a-z]+ +0 +1 +[0-9.]+ .* KiB\$" clients
ok "stats" until_true rows "rows[1]['published'] > 100 and rows[1]['published_bytes'] > 0 and 0 < rows[1]['delivered'] <= rows[1]['published']
    and rows[1]['latency']['samples'] > 0 and rows[1]['lost'] == 0 and rows[1]['lost_by'] == {'ring': 0, 'lane': 0, 'retained': 0, 'evicted': 0}
    and rows[0]['instance']['publishers'] == 1 and rows[0]['instance']['subscribers'] == 1" stats --json

ok "check: defaults" until_true checks 0 '^AETHER OK - 2 topics, 1 publisher, 1 subscriber; lag [0-9,]+.*, 0 stuck \| lag=[0-9]+;;;0 '
ok "check --rate-min, OK" until_true checks 0 ' rate=[0-9.]+;1:;0\.5:;0$' busy --rate-min 1:0.5 --window 0.2
ok "check --rate-min, WARNING" checks 1 '^AETHER WARNING - quiet: 0/s messages are published \|' quiet --rate-min 1:
ok "check --rate-min, CRITICAL" checks 2 '^AETHER CRITICAL - quiet: 0/s .* rate=0;;1:;0$' quiet --rate-min :1 --window 0.01
ok "check --p99, OK" until_true checks 0 ' p99=0\.[0-9]+s;60;3600;0$' busy --p99 1min:1h --window 0.2
ok "check --p99, CRITICAL" until_true checks 2 '^AETHER CRITICAL - busy: 1 % of the messages takes longer than ' busy --p99 :1ns --window 0.2
ok "check --p99 of no messages" checks 0 ' p99=U;1;;0$' quiet --p99 1: --window 0.01
ok "check --loss" checks 0 ' loss_per_s=0;0;10;0$' --loss 0:10 --window 0.01
ok "check --json" rows "rows[0]['status'] == 'OK' and rows[0]['code'] == 0 and rows[0]['figures']['lag']['warning'] == 1e9" check --lag 1000000000: --json
ok "check: a bad limit" checks 3 "^AETHER UNKNOWN - --lag 'x': use WARNING:CRITICAL" --lag x
ok "check: limits in the wrong order" checks 3 '^AETHER UNKNOWN - --lag: ' --lag 20:10
ok "check: limits in the wrong order, --rate-min" checks 3 '^AETHER UNKNOWN - --rate-min: ' --rate-min 10:20
ok "check: a bad option" checks 3 "^AETHER UNKNOWN - unknown option '--lagg' of check: did you mean --lag\\?" --lagg 3
ok "check: a bad window" checks 3 '^AETHER UNKNOWN - --window' --window 0

# ---- names

"$AETHER_CLI" sub named --raw --policy reliable --name "risk Ä\\" >/dev/null &
named_sub=$!
started+=("$named_sub")
until_true has_joined "$named_sub"
"$AETHER_CLI" pub named m --name feed || exit 1
ok "sub --name" rows "$named_sub in [r['pid'] for r in rows if r['client'] == 'risk Ä\\\\']" clients --json
ok "pub --name" until_true rows "rows[0]['departed'][0]['client'] == 'feed'" topic info named --json
kill "$named_sub"
wait "$named_sub"

# ---- a subscriber that is stopped, and holds up a publisher

"$AETHER_CLI" topic create held --capacity 8 || exit 1
subscribe "$tmp/discarded" held --raw
held_sub=$sub
kill -STOP "$held_sub"
"$AETHER_CLI" pub held message --count 100000 &
held_pub=$!
started+=("$held_pub")
ok "lag --json: a stopped subscriber" until_true rows "(lambda s: s['topic'] == 'held' and s['state'] == 'stuck' and s['process'] == 'T' and s['pid'] == $held_sub
    and s['lag'] == 8 and s['age_ns'] >= 1e9 and s['holds_up'] == 1 and s['held_up_ns'] > 0)(rows[0])
    and (lambda h: h['topic'] == 'held' and h['kind'] == 'waits' and h['victim']['pid'] == $held_pub and h['waits'] == 'subscriber'
    and h['culprit']['pid'] == $held_sub and h['culprit']['process'] == 'T' and h['lag'] == 8 and h['for_ns'] > 0)(rows[-1])" lag --json
ok "lag: the worst first" shows "^held +aether-cli sub +$held_sub +reliable +stuck, stopped +8 +8 +- +[0-9.]+ [ms]" lag
sorted_by_lag() { sed -n 2p "$tmp/out" | grep -q '^held ' && sed -n 3p "$tmp/out" | grep -q '^busy '; }
ok "lag: its order" sorted_by_lag
ok "lag: who holds up whom" shows "^held: publisher aether-cli pub \\(pid $held_pub\\) has waited [0-9.]+ .*s for subscriber aether-cli sub \\(pid $held_sub\\), which is stopped, 8 behind" lag held
ok "lag of other topics" rows "[r['topic'] for r in rows] == ['busy']" lag busy quiet --json
ok "check: stuck" checks 1 "^AETHER WARNING - held: publisher aether-cli pub \\(pid $held_pub\\) has waited .* \\(pid $held_sub\\), which is stopped, 8 behind \\| lag=.* stuck=1;0;;0 " held
ok "check: an option changes its own figure only" checks 1 " has waited .* lag=8;9;;0 age=[0-9.]+s;10;60;0 stuck=1;0;;0 evicted=0;0;;0 full=[0-9.]+s;5;30;0" held --lag 9:
ok "check --json: problems" checks_json 1 "(lambda p: len(p) == 1 and p[0]['topic'] == 'held' and p[0]['kind'] == 'waits' and p[0]['victim']['pid'] == $held_pub
    and p[0]['culprit']['pid'] == $held_sub and 'held: ' + p[0]['text'] == rows[0]['text'])(rows[0]['problems'])" held
ok "check --json: no problems" checks_json 0 "rows[0]['problems'] == [] and 'stuck' in rows[0]['figures']" held --stuck none --age none --full none
ok "check: no limit" checks 0 '^AETHER OK - 1 topic, .* stuck=1;;;0 ' held --stuck none --age none --full none
ok "check --stuck, CRITICAL" checks 2 '^AETHER CRITICAL - held: ' --stuck 0:0
ok "check --lag" checks 2 "^AETHER CRITICAL - held: publisher aether-cli pub \\(pid $held_pub\\) has waited .* \\(pid $held_sub\\), which is stopped, 8 behind \\| lag=8;5;7;0 " held --lag 5:7
ok "check --age" checks 1 "^AETHER WARNING - held: publisher aether-cli pub \\(pid $held_pub\\) has waited .* \\(pid $held_sub\\)" held --age 20ms:1h --full none
ok "check --full" checks 1 "^AETHER WARNING - held: publisher aether-cli pub \\(pid $held_pub\\) has waited" held --full 1us:1h --age none
ok "check: two limits" checks 2 ' has waited ' held --full 1us:1h --stuck 0: --lag 1:5 --age 1ms:
one_sentence() { [ "$(grep -o ' has waited ' "$tmp/out" | wc -l)" -eq 1 ]; }
ok "check: two limits, one sentence" one_sentence
ok "check of other topics" checks 0 '^AETHER OK - 1 topic, ' quiet
ok "topic info: what it waits for" shows "^aether-cli pub +$held_pub .* subscriber aether-cli sub \\(pid $held_sub\\), [0-9.]+ .*s\$" topic info held
kill -CONT "$held_sub"
ok "the publisher ends" wait "$held_pub"
ok "lag: nothing is held up any more" until_true rows "rows[0]['state'] == 'idle' and rows[0]['lag'] == 0 and rows[0]['holds_up'] == 0 and len(rows) == 1" lag held --json
ok "topic info: stalls, and the publisher that has gone" until_true rows "rows[0]['stalls'] >= 1 and rows[0]['stall_ns'] >= 1e9 and rows[0]['full'] >= 1
    and rows[0]['published'] == 100000 == rows[0]['delivered'] and rows[0]['publishers'] == []
    and (lambda d: d['role'] == 'publisher' and d['pid'] == $held_pub and d['died'] is False and d['published'] == 100000 and d['stall_ns'] >= 1e9)(rows[0]['departed'][0])" topic info held --json
ok "topic info: departed" shows "^publisher +$held_pub +aether-cli pub +20[0-9-]+ [0-9:]+ +closed +100,000 +- +- +- +[0-9.]+ .*s +[0-9,]+\$" topic info held

# ---- a best-effort subscriber that loses messages, a latest one, and one that dies

"$AETHER_CLI" topic create lossy --capacity 8 || exit 1
subscribe "$tmp/discarded" lossy --policy best-effort --raw
lossy_sub=$sub
kill -STOP "$lossy_sub"
"$AETHER_CLI" pub lossy message --count 1000 || exit 1
kill -CONT "$lossy_sub"
ok "losses by reason" until_true rows "(lambda t: t['lost'] >= 900 and t['lost_by']['ring'] == t['lost'] and t['delivered'] + t['lost'] == 1000 == t['accounted']
    and t['gaps'] >= 1)(rows[0])" topic info lossy --json
ok "a best-effort subscriber's figures" rows "(lambda s: s['role'] == 'best-effort' and s['policy'] == 'best-effort' and s['lost'] >= 900 and s['next'] == 1000
    and s['delivered'] + s['lost'] == 1000 - s['joined'])(rows[0]['subscribers'][0])" topic info lossy --json
ok "topic info: losses" shows '^lost +9[0-9][0-9] \(ring\) in [0-9]+ gaps?$' topic info lossy
ok "lag: losses" shows "^lossy +aether-cli sub +$lossy_sub +best-effort +idle +0 +0 +- +0 s +9[0-9][0-9] \\(ring\\) " lag lossy
subscribe "$tmp/discarded" lossy --policy latest --raw
ok "a latest subscriber" until_true rows "[s['policy'] for s in rows] == ['best-effort', 'latest']" lag lossy --json
kill -9 "$lossy_sub"
wait "$lossy_sub" 2>/dev/null
ok "the last figures of one that died" until_true rows "(lambda d: d['pid'] == $lossy_sub and d['died'] is True and d['role'] == 'best-effort'
    and d['lost'] >= 900 and d['delivered'] + d['lost'] == 1000)(rows[0]['departed'][0]) and rows[0]['lost'] >= 900" topic info lossy --json

ok "clients --departed" shows "^best-effort +$lossy_sub +aether-cli sub +20[0-9-]+ [0-9:]+ +died +[0-9]+ +9[0-9][0-9] +0 +0 +- +- +lossy\$" clients --departed
ok "clients --departed: all topics, the latest first" rows "{r['topic'] for r in rows} >= {'named', 'held', 'lossy'} and [r['left_ns'] for r in rows] ==
    sorted((r['left_ns'] for r in rows), reverse=True) and [r for r in rows if r['topic'] == 'held'][-1]['stall_ns'] >= 1e9" clients --departed --json

# ---- a subscriber that is evicted

"$AETHER_CLI" topic create evicts --capacity 16 --evict-lag 12 || exit 1
subscribe "$tmp/discarded" evicts --raw
evicted_sub=$sub
kill -STOP "$evicted_sub"
"$AETHER_CLI" pub evicts message --count 1000 || exit 1
ok "lag: one sentence for a subscriber that is stopped and evicted" until_true rows "(lambda p: len(p) == 1 and p[0]['culprit']['pid'] == $evicted_sub
    and p[0]['evicted'] is True and p[0]['overwritten'] > 900 and p[0]['victim'] is None and p[0]['culprit']['process'] == 'T')([r for r in rows if 'kind' in r])" lag evicts --json
kill -CONT "$evicted_sub"
ok "check: an evicted subscriber" until_true checks 1 "^AETHER WARNING - evicts: subscriber aether-cli sub \\(pid $evicted_sub\\) was evicted because it was too slow; it goes on as best effort \\|.* evicted=1;0;;0 " evicts
ok "check --evicted, CRITICAL" checks 2 '^AETHER CRITICAL - evicts: ' evicts --evicted :0
ok "check --evicted none" checks 0 '^AETHER OK' evicts --evicted none
kill "$evicted_sub"
wait "$evicted_sub" 2>/dev/null
ok "an eviction's reason" until_true rows "(lambda d: d['pid'] == $evicted_sub and d['evicted'] is True and d['evict_reason'] == 'lag'
    and 'evict_held_bytes' not in d)([d for d in rows[0]['departed'] if d['role'] != 'publisher'][0])" topic info evicts --json
ok "an eviction's reason, text" shows "^reliable +$evicted_sub .*, evicted: too far behind " topic info evicts

# ---- lanes: how full they are, and who holds them

"$AETHER_CLI" topic create lanes --max-message 16K --capacity 64 --lane 64K || exit 1
subscribe "$tmp/discarded" lanes --policy reliable --raw
lane_sub=$sub
kill -STOP "$lane_sub"
mkfifo "$tmp/lane"
"$AETHER_CLI" pub lanes <"$tmp/lane" &
lane_pub=$!
started+=("$lane_pub")
exec 6>"$tmp/lane"
head -c 12000 /dev/zero | tr '\0' x >&6
echo >&6
ok "a lane's fill" until_true shows "^lane of 'aether-cli pub' \\(pid $lane_pub\\)  11.8 of 64 KiB used, room for 3 of the largest\$" topic info lanes
ok "a lane's fill, JSON" rows "(lambda t: (t['publishers'][0]['lane_used_bytes'], t['publishers'][0]['lane_fits'], t['subscribers'][0]['lane_held_bytes'],
    t['subscribers'][0]['unread'], t['subscribers'][0]['lag']) == (12032, 3, 12032, 1, 1))(rows[0])" topic info lanes --json
ok "lag: lane room" shows "^lanes +aether-cli sub +$lane_sub +reliable +[a-z, ]+ +1 +1 +11.8 KiB" lag lanes
kill -CONT "$lane_sub"
ok "a lane that is free again" until_true shows "^lane of .*  0 B of 64 KiB used, room for 4 of the largest\$" topic info lanes
exec 6>&-
kill "$lane_sub"
wait "$lane_sub" "$lane_pub" 2>/dev/null

"$AETHER_CLI" topic create tight --max-message 16K --capacity 64 --lane 16K --slow evict || exit 1
subscribe "$tmp/discarded" tight --policy reliable --raw
lane_sub=$sub
kill -STOP "$lane_sub"
for _ in 1 2 3; do head -c 12000 /dev/zero | tr '\0' x | "$AETHER_CLI" pub tight || exit 1; done
kill -9 "$lane_sub"
wait "$lane_sub" 2>/dev/null
ok "an eviction for lane room" until_true rows "(lambda d: d['pid'] == $lane_sub and d['evict_reason'] == 'lane' and 12032 <= d['evict_held_bytes'] <= 16384)(
    [d for d in rows[0]['departed'] if d['role'] != 'publisher'][0])" topic info tight --json
ok "an eviction for lane room, text" shows "^reliable +$lane_sub .*died, evicted: held [0-9.]+ KiB of lane room " topic info tight

# ---- what was stated, and by whom

"$AETHER_CLI" topic create stated --max-message 200 --publishers exclusive --type frame:2 || exit 1
ok "topic info: what is stated" shows "^stated +max message 200 B, exclusive publishers, type frame:2\$" topic info stated
ok "topic info: who created it" shows "^shape +what isn't stated is open until a publisher comes, created by 'aether-cli topic create'" topic info stated

# ---- names are hostile

name=$'h\e[2J|\xff\u202e'
"$AETHER_CLI" topic create "$name" --capacity 8 || exit 1
"$AETHER_CLI" sub "$name" --raw >/dev/null &
hostile=$!
started+=("$hostile")
has_subscriber() { rows "len(rows) == 1" lag "$name" --json; }
until_true has_subscriber
escaped='h\\x1b\[2J\|\\xff\\xe2\\x80\\xae'
ok "a hostile name: lag" shows "^$escaped " lag "$name"
ok "a hostile name: hz" shows "^$escaped " hz "$name" --count 1 --window 0.01
ok "a hostile name: latency" shows "^$escaped: " latency "$name" --histogram
ok "a hostile name: topic info" shows "^topic +$escaped\$" topic info "$name"
ok "a hostile name: stats" shows "^$escaped " stats
ok "a hostile name: JSON" rows "rows[0]['topic_b64'] == 'aBtbMkp8/+KArg=='" lag "$name" --json
ok "a hostile name: check" checks 2 '^AETHER CRITICAL - h\\x1b\[2J\\x7c\\xff\\xe2\\x80\\xae: 0/s messages are published \| [^|]*$' "$name" --rate-min :1 --window 0.01
ok "a hostile name: check of an unknown topic" checks 3 "^AETHER UNKNOWN - no topic 'a/b\\\\x1b' at" $'a|b\e'

# ---- with an aetherd that is stopped

ok "aetherd runs: stats --json" rows "rows[0]['instance']['running'] is True and rows[0]['instance']['stopped'] is False
    and rows[0]['instance']['process'] in 'RSD' and rows[0]['instance']['grants_max'] == 8192" stats --json
kill -STOP "$daemon"
ok "check: aetherd is stopped, CRITICAL" until_true checks 2 "^AETHER CRITICAL - aetherd \\(pid $daemon\\) is stopped: kill -CONT $daemon \\| lag="
ok "check --no-daemon: aetherd is stopped" checks 0 '^AETHER OK' --no-daemon
ok "check --json: aetherd is stopped" checks 2 "\"code\":2,.*aetherd \\(pid $daemon\\) is stopped" --json
ok "stats: aetherd is stopped" shows "^aetherd at $AETHER_SOCKET: stopped \\(pid $daemon: kill -CONT $daemon\\), [0-9]+ of [0-9]+ topics" stats
ok "stats --json: aetherd is stopped" rows "rows[0]['instance']['running'] is True and rows[0]['instance']['stopped'] is True
    and rows[0]['instance']['process'] == 'T'" stats --json
ok "top: aetherd is stopped" shows "^aetherd STOPPED \\(pid $daemon: kill -CONT $daemon\\); " top --batch 1
kill -CONT "$daemon"
ok "check: aetherd goes on" until_true checks 0 '^AETHER OK'

# ---- without aetherd

kill -9 "$daemon"
wait "$daemon" 2>/dev/null
ok "check: without aetherd, CRITICAL" checks 2 "^AETHER CRITICAL - aetherd doesn't run \\(last: pid $daemon\\) \\|"
ok "check: without aetherd, with another limit" checks 2 "aetherd doesn't run" --stuck 5:
ok "check --no-daemon" checks 0 '^AETHER OK' --no-daemon
ok "a dead daemon: latency" until_true rows "0 < rows[0]['latency']['count'] and rows[0]['seconds'] > 0" latency busy --watch 0.1 --count 1 --json
ok "a dead daemon: lag" rows "{r.get('topic') for r in rows} >= {'busy', 'held'}" lag --json
ok "a dead daemon: hz" until_true rows "rows[0]['published_per_s'] > 0" hz busy --window 0.1 --count 1 --json
ok "a dead daemon: clients" rows "$busy_pub in [r['pid'] for r in rows]" clients --json
# notes ARGUMENT...: in text, one line of stderr says whose leavings follow; in JSON each object does.
notes() {
    run "$AETHER_CLI" "$@"
    [ "$status" -eq 0 ] && [ -s "$tmp/out" ] &&
        [ "$(cat "$tmp/err")" = "aether-cli: no aetherd runs at $AETHER_SOCKET: what follows is what pid $daemon left" ] || return
    [ "$1" = stats ] || rows "len(rows) > 0 and all(r['daemon_running'] is False for r in rows)" "$@" --json
}
ok "a dead daemon: topic ls says so" notes topic ls
ok "a dead daemon: stats says so" notes stats
ok "a dead daemon: lag says so" notes lag
ok "a dead daemon: hz says so" notes hz --window 0.1 --count 1
ok "a dead daemon: clients says so" notes clients
ok "a dead daemon: clients --departed says so" notes clients --departed
ok "a dead daemon: topic info" rows "rows[0]['departed'][0]['pid'] == $held_pub" topic info held --json
start_daemon || exit 1
ok "a successor: nothing more is said" rows "all('daemon_running' not in r for r in rows)" topic ls --json
ok "a successor: nothing more is said, text" shows '^busy ' topic ls
ok "a successor: counters go on" until_true rows "rows[0]['published'] == 100000 and rows[0]['departed'][0]['pid'] == $held_pub" topic info held --json
ok "a successor: check" until_true checks 0 '^AETHER OK'

# A publisher waits for a program that is killed while no aetherd runs.
"$AETHER_CLI" topic create orphan --capacity 8 || exit 1
subscribe "$tmp/discarded" orphan --raw
orphan_sub=$sub
kill -STOP "$orphan_sub"
"$AETHER_CLI" pub orphan message --count 100 &
orphan_pub=$!
started+=("$orphan_pub")
publisher_waits() { rows "rows[-1].get('kind') == 'waits'" lag orphan --json >/dev/null; }
until_true publisher_waits
kill -9 "$daemon" "$orphan_sub"
wait "$daemon" "$orphan_sub" 2>/dev/null
ok "check: a publisher waits for a dead program, without aetherd" until_true checks 2 \
    "^AETHER CRITICAL - aetherd doesn't run \\(last: pid $daemon\\); orphan: publisher .* for subscriber aether-cli sub \\(pid $orphan_sub\\), which is dead, 8 behind.*; start aetherd, which frees its room" orphan --full 1us:1h
start_daemon || exit 1
ok "a successor frees it" wait "$orphan_pub"

# ---- a socket path that isn't UTF-8

mkdir -m 700 "$tmp/"$'u\xff' || exit 1
"$AETHERD" --socket "$tmp/"$'u\xff/s' 2>>"$tmp/daemon.log" &
other=$!
started+=("$other")
answers() { "$AETHER_CLI" --socket "$tmp/"$'u\xff/s' topic ls --json; }
until_true answers
ok "a socket path that isn't UTF-8" rows "'socket_b64' in rows[0]['instance'] and rows[0]['instance']['pid'] == $other" --socket "$tmp/"$'u\xff/s' stats --json
kill "$other"
wait "$other"

kill "$busy_pub" "$busy_sub" "$held_sub" "$sub" "$hostile"
wait "$busy_pub" "$busy_sub" "$held_sub" "$sub" "$hostile" 2>/dev/null
finish
