#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Files as messages, the end of a stream, the newest message only, evictions, types, waits.
# shellcheck disable=SC2317 # ok calls functions by name
# shellcheck source-path=SCRIPTDIR source=cli.inc.sh
. "$(dirname "$0")/cli.inc.sh"

succeeded() {
    [ "$status" -eq 0 ] && [ ! -s "$tmp/err" ] && return
    sed 's/^/# /' "$tmp/err"
    return 1
}
# dumped DIR FILE...: DIR contains exactly these files, named by their sequences from 0 on.
dumped() {
    local dir=$1 seq=0 file
    shift
    for file; do
        if ! cmp "$file" "$dir/$(printf '%020d' "$seq")" >"$tmp/difference" 2>&1; then
            sed 's/^/# /' "$tmp/difference"
            return 1
        fi
        seq=$((seq + 1))
    done
    [ "$(find "$dir" -mindepth 1 | wc -l)" -eq $# ]
}

cd "$tmp" || exit 1
python3 - <<'PYTHON'
import random
random.seed(20261124)
for name, size in (("small", 100), ("inline", 4088), ("lane", 4089), ("odd", 1234567), ("huge", 64 << 20)):
    with open(name, "wb") as f:
        f.write(random.randbytes(size))
open("empty", "wb").close()
with open("letters", "w", encoding="utf-8") as f:
    f.write("\u20ac" * 3000)
PYTHON
start_daemon || exit 1

# ---- files
"$AETHER_CLI" topic create files --max-message 64M || exit 1
subscribe log files --dump received --exit-at-end -v
run_pub files --file small empty inline lane odd huge
ok "files of 0 bytes to 64 MiB" succeeded
ok "--exit-at-end after the publisher has closed" ends_with "$sub" 0
ok "--dump: the same bytes" dumped received small empty inline lane odd huge
ok "--dump prints file names" grep -qx ' *1      0  received/00000000000000000001' log
ok "-v says how the stream ended" grep -qx 'end of stream: the last publisher has closed' log.err
ok "-v says what was received" grep -qx 'received 6, lost 0, aborted 0' log.err

subscribe log again --max-message 2M --json --dump json --count 4
run_pub again --file small --file - -- empty letters <odd
ok "a repeated --file, stdin, words after --" ends_with "$sub" 0
ok "a repeated --file, stdin, words after --: the same bytes" dumped json small odd empty letters
ok "--dump --json" json_rows log '[r["len"] for r in rows] == [100, 1234567, 0, 9000] and rows[2] == {"seq": 2, "len": 0,
    "file": "json/00000000000000000002"}'
mkfifo fifo
"$AETHER_CLI" pub again --file fifo &
pub=$!
started+=("$pub")
until_peers again publishers 1
kill "$pub"
ok "pub ends on SIGTERM while nobody writes to a FIFO" ends_with "$pub" 143
"$AETHER_CLI" pub again --file fifo lane &
pub=$!
started+=("$pub")
cat odd >fifo
ok "a FIFO" ends_with "$pub" 0
run "$AETHER_CLI" sub again --from last:2 --count 2 --raw
ok "a FIFO: the same bytes" cmp out <(cat odd <(echo) lane <(echo))
run_pub again --file /proc/self/status
ok "a file that doesn't tell its size" topic_has again messages 7
ok "a file that doesn't tell its size: it isn't empty" grep -q '^Name:' <("$AETHER_CLI" sub again --from last:1 --count 1 --raw)
run_pub again --file small empty --count 1
ok "--count of files" topic_has again messages 8

run_pub sized --file small odd
ok "a new topic takes the largest file" topic_has sized max_message $((1 << 21))
run_pub generated --size 5000 --count 1
ok "a new topic takes --size" topic_has generated max_message 8192
run_pub plain --file small
ok "a new topic of small files has the default" topic_has plain max_message 1016
run_pub plain --file small lane small
ok "a file too large" failed_with 5 "topic 'plain' takes messages of at most 1016 bytes, "
ok "a file too large: no file is published" topic_has plain messages 1
run_pub plain --file - <lane
ok "a file too large on stdin" failed_with 5 "4089 bytes"
run_pub plain --file - < <(cat lane)
ok "a pipe too large" failed_with 5 "longer than the 1016 bytes that topic 'plain' takes"
run_pub sized --file <(cat huge)
ok "a pipe larger than the largest message" failed_with 5 "longer than the 2097152 bytes"
run_pub plain --file small nosuch
ok "a file that isn't there" failed_with 1 "'nosuch': No such file"
ok "a file that isn't there: nothing is published" topic_has plain messages 1
run_pub plain --file .
ok "a directory" failed_with 1 "it is a directory"

run_pub plain --file small
mkdir kept
echo mine >kept/00000000000000000001
run "$AETHER_CLI" sub plain --from oldest --dump kept
ok "--dump doesn't overwrite" failed_with 1 "'kept/00000000000000000001' is there already"
ok "--dump doesn't overwrite: the file" [ "$(cat kept/00000000000000000001)" = mine ]
ok "--dump leaves no other file" [ "$(find kept -mindepth 1 | wc -l)" -eq 2 ]
ok "--dump into a missing directory's directory" refuses 1 "No such file" sub plain --dump no/such
ok "--dump into a file" refuses 1 "name a directory" sub plain --dump small

# ---- output of large messages
"$AETHER_CLI" topic create text --max-message 2M || exit 1
run_pub text --file letters odd
run "$AETHER_CLI" sub text --from oldest --count 2
ok "text is cut between characters" grep -qE '^ *0   9000  (€){1365}\.\.\. \(9000 bytes\)$' out
run_pub whole --file small odd letters
run "$AETHER_CLI" sub whole --from oldest --count 3 --json
ok "--json isn't cut" json_rows out 'rows[2]["payload"] == "\u20ac" * 3000
    and __import__("base64").b64decode(rows[1]["payload_b64"]) == open("odd", "rb").read()'

# ---- the end of a stream
"$AETHER_CLI" topic create end || exit 1
timeout "$hang" "$AETHER_CLI" sub end --policy reliable --exit-at-end --raw >copy &
sub=$!
started+=("$sub")
until_peers end reliable 1
sleeps() { [ "$(sed 's/.*) //; s/ .*//' "/proc/$(pgrep -P "$sub")/stat")" = S ]; }
ok "a publisher that hasn't come is waited for" until_true sleeps
seq 1 1000 | run_pub end
ok "--exit-at-end" ends_with "$sub" 0
ok "--exit-at-end: all was printed" cmp copy <(seq 1 1000)

subscribe copy died --exit-at-end -v --raw
mkfifo lines
"$AETHER_CLI" pub died <lines &
pub=$!
started+=("$pub")
exec 9>lines
seq 1 1000 >&9
until_true topic_has died messages 1000
kill -9 "$pub"
exec 9>&-
ok "--exit-at-end after kill -9 of the publisher" ends_with "$sub" 0
ok "--exit-at-end after kill -9: all was printed" cmp copy <(seq 1 1000)
ok "--exit-at-end after kill -9: -v" grep -qx 'end of stream: no publisher is left, and one has died' copy.err

# ---- newest only
run_pub latest --size 8 --count 5
run "$AETHER_CLI" sub latest --policy latest --from oldest --count 1 --json -v
ok "latest begins with the newest" json_rows out '[r["seq"] for r in rows] == [4]'
"$AETHER_CLI" sub latest --policy latest --json -v >pipe.out 2>pipe.err &
sub=$!
started+=("$sub")
until_true has_joined "$sub"
kill -STOP "$sub"
run_pub latest --size 8 --count 1000
kill -CONT "$sub"
has_last() { grep -q '"seq":1004' pipe.out; }
ok "latest has the last one" until_true has_last
kill "$sub"
ok "latest: ended by SIGTERM" ends_with "$sub" 143
ok "latest skips and loses nothing" grep -qE '^received [0-9,]+, lost 0, aborted 0, skipped [1-9][0-9]*$' pipe.err

# ---- evictions
"$AETHER_CLI" topic create evict --capacity 64 --max-message 100 --slow evict || exit 1
for format in --raw --json; do
    subscribe slow evict $format -v
    kill -STOP "$sub"
    run_pub evict --size 100 --count 5000
    ok "evict $format: a stopped subscriber holds nobody up" [ "$status" -eq 0 ]
    ok "evict $format: it is counted" topic_has evict evicted 1
    shows_evicted() { "$AETHER_CLI" topic info evict | grep -qE "^reliable +$sub .* yes(: too far behind)?\$"; }
    ok "evict $format: topic info names it" shows_evicted
    kill -CONT "$sub"
    run_pub evict the-END
    has_end() { grep -qa the-END slow; }
    ok "evict $format: it goes on" until_true has_end
    kill "$sub"
    ok "evict $format: ended by SIGTERM" ends_with "$sub" 143
    if [ $format = --json ]; then
        ok "evict --json: reported once" json_rows slow '[(r["evicted"], "behind" in r["why"] or "lane room" in r["why"]) for r in rows if "evicted" in r] == [(True, True)]'
        ok "evict --json: conservation" json_rows slow '(lambda e: any("gap_count" in r for r in e)
            and all(b.get("seq", b.get("gap_first")) == a.get("seq", a.get("gap_first")) + a.get("gap_count", 1) for a, b in zip(e, e[1:])))(
            [r for r in rows if "evicted" not in r])'
    else
        ok "evict --raw: reported once" [ "$(grep -c "^aether-cli: topic 'evict': evicted at sequence [0-9]*: \(was [0-9,]* messages behind\|held .*B of lane room\); goes on as best effort" slow.err)" -eq 1 ]
    fi
    ok "evict $format: -v" grep -qE '^received [0-9,]+, lost [1-9][0-9,]*, aborted 0, evicted$' slow.err
    until_peers evict reliable 0
done

# ---- types
"$AETHER_CLI" topic create typed --type quote:2:64 || exit 1
ok "pub of another type" refuses 1 "quote" pub typed m --type trade:1
ok "pub of another type: both are named" grep -q trade err
ok "sub of another version" refuses 1 "quote" sub typed --type quote:3:64
run_pub typed m --type quote:2:64
ok "pub of the same type" succeeded
run "$AETHER_CLI" sub typed --from oldest --count 1 --raw --type quote:2:64
ok "sub of the same type" [ "$(cat out)" = m ]

# ---- a full ring
"$AETHER_CLI" topic create full --capacity 8 --max-message 100 || exit 1
subscribe copy full --raw
kill -STOP "$sub"
run_pub full x --count 9 --wait 0
ok "--wait 0" failed_with 6 "topic 'full' was full for 0 s: published 8 before"
run_pub full x --wait 0.05
ok "--wait" failed_with 6 "was full for 50 ms: published 0 before: aether-cli lag shows which subscriber lags"
kill -CONT "$sub"
run_pub full last --wait 20
ok "--wait ends when there is room" succeeded
nine() { [ "$(wc -l <copy)" -eq 9 ]; }
ok "nothing is lost by it" until_true nine
kill "$sub"
wait "$sub"

# ---- at rest
# Processor time of a process, in ticks of 10 ms.
ticks() { awk '{ print $14 + $15 }' "/proc/$1/stat"; }
naps() { awk '/^voluntary_ctxt_switches/ { print $2 }' "/proc/$1/status"; }
subscribe copy rest --raw
at_rest() { local before; before=$(naps "$sub"); sleep 0.5; [ $(($(naps "$sub") - before)) -le 10 ]; }
ok "an idle sub sleeps" until_true at_rest
# How little it takes depends on the machine. A process that spins takes all of the second.
before=$(ticks "$sub")
sleep 1
ok "an idle sub doesn't spin" [ $(($(ticks "$sub") - before)) -le 50 ]
kill "$sub"
ok "an idle sub ends on SIGTERM" ends_with "$sub" 143
timeout "$hang" "$AETHER_CLI" sub rest --raw | true
ok "an idle sub notices that its pipe was closed" [ "${PIPESTATUS[0]}" -eq 0 ]
# ---- a /dev/shm that is too small for a lane
small() {
    # shellcheck disable=SC2016 # the inner shell's words
    run unshare -m bash -c 'mount -t tmpfs -o size=20m tmpfs /dev/shm || exit 99
        "$1" --socket "$2" 2>/dev/null & daemon=$!
        "$3" --socket "$2" ping --wait 100s >/dev/null
        "$3" --socket "$2" pub t m --max-message 6M; status=$?
        kill "$daemon"; wait "$daemon"; exit $status' bash "$(realpath "$AETHERD")" "$tmp/s/small.sock" "$(realpath "$AETHER_CLI")"
    failed_with 1 "in /dev/shm: make it larger, or state smaller lanes (lane_bytes; topic create --lane)"
}
if unshare -m true 2>/dev/null; then
    ok "no room for a lane" small
else
    ok "no room for a lane # SKIP no mount namespaces" true
fi
finish
