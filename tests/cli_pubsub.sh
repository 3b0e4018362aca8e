#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# pub and sub as people use them: pipes, files, odd bytes, limits, signals, closed ends.
# shellcheck disable=SC2317 # ok calls functions by name
# shellcheck source-path=SCRIPTDIR source=cli.inc.sh
. "$(dirname "$0")/cli.inc.sh"

same() {
    cmp "$1" "$2" >"$tmp/difference" 2>&1 && return
    sed 's/^/# /' "$tmp/difference"
    return 1
}

# carries NAME FILE TOPIC CREATE-OPTION...: what pub reads from FILE, sub --raw writes, byte for byte.
carries() {
    local name=$1 file=$2 topic=$3 lines
    shift 3
    lines=$(wc -l <"$file")
    "$AETHER_CLI" topic create "$topic" "$@" || exit 1
    subscribe "$tmp/copy" "$topic" --raw --count "$lines"
    run_pub "$topic" <"$file"
    ok "$name: pub" [ "$status" -eq 0 ]
    ok "$name: sub" ends_with "$sub" 0
    ok "$name: the same bytes" same "$file" "$tmp/copy"
}

start_daemon || exit 1

# ---- lines
seq 1 100000 >"$tmp/seq"
carries "100,000 lines" "$tmp/seq" lines
carries "through a ring of 8 slots" "$tmp/seq" narrow --max-message 8 --capacity 8
printf 'a\n\n\nb\0c\n\377\376\n\r\n \n' >"$tmp/odd"
carries "empty lines, NUL and other bytes" "$tmp/odd" odd
{ head -c 4088 /dev/zero | tr '\0' x; echo; head -c 4087 /dev/zero | tr '\0' y; echo; } >"$tmp/long"
carries "lines of the largest size" "$tmp/long" long --max-message 4088

subscribe "$tmp/copy" tail --raw --count 2
printf 'one\ntwo' | run_pub tail -v
ok "a last line without a newline" ends_with "$sub" 0
ok "a last line without a newline: bytes" same "$tmp/copy" <(printf 'one\ntwo\n')
ok "-v says how many" grep -q '^published 2 messages in ' "$tmp/err"
run_pub tail </dev/null
ok "no lines" [ "$status" -eq 0 ]
ok "without a terminal it is silent" [ ! -s "$tmp/err" ]

{ echo short; head -c 1017 /dev/zero | tr '\0' x; echo; echo never; } >"$tmp/toolong"
run_pub limit <"$tmp/toolong"
ok "a line that is too long" failed_with 5 "line 2 is longer than the 1016 bytes that topic 'limit' takes: published the lines before it: --max-message makes a new topic larger"
ok "a line that is too long: the lines before it" topic_has limit messages 1
head -c 300000 /dev/zero | tr '\0' x | run_pub limit
ok "a line without an end" failed_with 5 "line 1 is longer than the 1016 bytes"
ok "a message that is too long" refuses 5 1016 pub limit "$(printf 'x%.0s' {1..1017})"
ok "--size that is too large" refuses 5 1016 pub limit --size 1017 --count 1
run_pub tail <"$tmp"
ok "stdin that can't be read" failed_with 1 "read stdin"

run_pub lines x --max-message 2000
ok "another size than the topic's" failed_with 1 2000
run_pub big --max-message 2K --preset throughput --size 2048 --count 1
ok "a new topic with a size" topic_has big max_message 2048

# ---- arguments, count, size, rate
subscribe "$tmp/copy" arg --raw --count 4
run_pub arg 'hello world'
run_pub arg -- --count
run_pub arg x --count 2
ok "argument" ends_with "$sub" 0
ok "argument: bytes" same "$tmp/copy" <(printf 'hello world\n--count\nx\nx\n')
run_pub arg --count 5 <"$tmp/seq"
ok "--count of lines" topic_has arg messages 9
run_pub arg ''
ok "an empty argument is an empty message" topic_has arg messages 10

subscribe "$tmp/copy" gen --json --count 3
run_pub gen --size 10 --count 3
ok "--size" ends_with "$sub" 0
ok "--size: the pattern" json_rows "$tmp/copy" '[__import__("base64").b64decode(r["payload_b64"]) if "payload_b64" in r
    else r["payload"].encode() for r in rows] == [s.to_bytes(8, "little") + bytes([s + 8, s + 9]) for s in range(3)]'
run_pub gen --size 0 --count 2
ok "--size 0" topic_has gen messages 5
run_pub gen --size 3 --count 3
run "$AETHER_CLI" sub gen --raw --from last:1 --count 1
ok "--size below 8" same "$tmp/out" <(printf '\007\010\011\n')

# ---- several publishers: the lines of each arrive in order, and none is missing
seq -f 'a %.0f' 1 50000 >"$tmp/a"
seq -f 'b %.0f' 1 50000 >"$tmp/b"
mkfifo "$tmp/to_a" "$tmp/to_b"
for words in "shared 8" "unbiased 8" "shared 1024"; do
    read -r kind capacity <<<"$words"
    topic=at_once/$kind/$capacity
    "$AETHER_CLI" topic create "$topic" --publishers "$kind" --max-message 32 --capacity "$capacity" || exit 1
    subscribe "$tmp/copy" "$topic" --raw --count 100000
    "$AETHER_CLI" pub "$topic" <"$tmp/to_a" &
    pubs=($!)
    "$AETHER_CLI" pub "$topic" <"$tmp/to_b" &
    pubs+=($!)
    started+=("${pubs[@]}")
    exec 6>"$tmp/to_a" 7>"$tmp/to_b"
    until_peers "$topic" publishers 2
    cat "$tmp/a" >&6 &
    cat "$tmp/b" >&7 &
    exec 6>&- 7>&-
    ok "two at once, $words: pub" ends_with "${pubs[0]}" 0
    ok "two at once, $words: the other pub" ends_with "${pubs[1]}" 0
    ok "two at once, $words: sub" ends_with "$sub" 0
    ok "two at once, $words: one's lines" same "$tmp/a" <(grep '^a' "$tmp/copy")
    ok "two at once, $words: the other's lines" same "$tmp/b" <(grep '^b' "$tmp/copy")
done

# Generated messages are numbered from the topic's next sequence on, also if another publisher has published in between.
subscribe "$tmp/copy" both --json --count 5
mkfifo "$tmp/idle"
"$AETHER_CLI" pub both <"$tmp/idle" &
other=$!
started+=("$other")
exec 7>"$tmp/idle"
until_peers both publishers 1
run_pub both --size 1 --count 2
echo line >&7
until_true topic_has both messages 3
run_pub both --size 1 --count 2
exec 7>&-
ok "--size beside another: pub" ends_with "$other" 0
ok "--size beside another: sub" ends_with "$sub" 0
ok "--size beside another" json_rows "$tmp/copy" '[r["payload"] for r in rows] == ["\0", "\1", "line", "\3", "\4"]'

before=$(date +%s%N)
run_pub gen x --count 21 --rate 100
took=$((($(date +%s%N) - before) / 1000000))
ok "--rate isn't faster than asked" [ $took -ge 200 ]

# ---- sub
run_pub json plain
run_pub json $'tab\there "quoted" \\ \e[31m\u00fc\u20ac'
printf 'nul\0x\n\300\200\n\355\240\200\n\n' | run_pub json
run "$AETHER_CLI" sub json --from oldest --count 6 --json
ok "--json" json_rows "$tmp/out" '[r["seq"] for r in rows] == list(range(6)) and [r["len"] for r in rows] == [5, 30, 5, 2, 3, 0]'
ok "--json: payloads" json_rows "$tmp/out" 'rows[0]["payload"] == "plain" and rows[2]["payload"] == "nul\0x" and rows[5]["payload"] == ""
    and rows[1]["payload"] == "tab\there \"quoted\" \\ \x1b[31m\u00fc\u20ac"'
ok "--json: what isn't UTF-8" json_rows "$tmp/out" 'rows[3]["payload_b64"] == "wIA=" and rows[4]["payload_b64"] == "7aCA"
    and "payload" not in rows[3]'
run "$AETHER_CLI" sub json --from oldest --count 4
ok "text" grep -q '^ *0  *5  plain$' "$tmp/out"
ok "text: escaped" grep -qF 'tab\there "quoted" \\ \x1b[31m' "$tmp/out"
ok "text: NUL" grep -qF 'nul\x00x' "$tmp/out"
run "$AETHER_CLI" sub json --from last:2 --count 2 --raw
ok "--from last:2" same "$tmp/out" <(printf '\355\240\200\n\n')
run "$AETHER_CLI" sub json --from last:1000000 --count 1 --raw
ok "--from last of more than there is" same "$tmp/out" <(echo plain)
run "$AETHER_CLI" sub json --from last:18446744073709551615 --count 1 --raw
ok "--from last of the most" same "$tmp/out" <(echo plain)

# A gap: the subscriber waits at its full pipe, and meanwhile the ring wraps round.
mkfifo "$tmp/pipe"
"$AETHER_CLI" topic create gap --capacity 8 --max-message 1000
for format in --json --raw ""; do
    # shellcheck disable=SC2086
    "$AETHER_CLI" sub gap --policy best-effort $format -v >"$tmp/pipe" 2>"$tmp/gap.err" &
    sub=$!
    started+=("$sub")
    exec 8<"$tmp/pipe"
    until_true has_joined "$sub"
    run_pub gap --size 1000 --count 20000
    # The subscriber may lose the last message, too: it is repeated until it arrives.
    until_end() { run_pub gap the-END; ! kill -0 "$sub" 2>/dev/null || grep -qa the-END "$tmp/gap.out"; }
    cat <&8 >"$tmp/gap.out" &
    started+=($!)
    exec 8<&-
    until_true until_end
    kill "$sub"
    ok "gap ${format:-text}: ended by SIGTERM" ends_with "$sub" 143
    case $format in
    --json) ok "gap --json: conservation" json_rows "$tmp/gap.out" 'any("gap_count" in r for r in rows) and
        all(b.get("seq", b.get("gap_first")) == a.get("seq", a.get("gap_first")) + a.get("gap_count", 1)
            for a, b in zip(rows, rows[1:]))' ;;
    --raw) ;;
    *) ok "gap text" grep -qaE '^ *[0-9]+    gap  [0-9]+ messages? lost$' "$tmp/gap.out" ;;
    esac
    ok "gap ${format:-text}: on stderr" grep -qE '^aether-cli: gap: [0-9]+ messages? lost from sequence [0-9]+ on$' "$tmp/gap.err"
    ok "gap ${format:-text}: -v" grep -qE '^received [0-9,]+, lost [1-9][0-9,]*, aborted 0$' "$tmp/gap.err"
    until_peers gap best-effort 0
done

# Publishers don't wait for a subscriber that is stopped, or whose output nobody reads, and it says what it lost.
"$AETHER_CLI" topic create paused --capacity 8 --max-message 1000 || exit 1
"$AETHER_CLI" sub paused --raw >"$tmp/copy" 2>"$tmp/paused.err" &
sub=$!
started+=("$sub")
until_true has_joined "$sub"
kill -STOP "$sub"
run "$AETHER_CLI" pub paused --size 1000 --count 5000
ok "a stopped sub holds nobody up" [ "$status" -eq 0 ]
kill -CONT "$sub"
until_true grep -q "gap" "$tmp/paused.err"
kill "$sub"
ok "a stopped sub: ended by SIGTERM" ends_with "$sub" 143
ok "a stopped sub: the loss in sum" grep -qE '^aether-cli: lost [1-9][0-9,]* messages in sum: ' "$tmp/paused.err"
"$AETHER_CLI" sub paused --raw >"$tmp/pipe" 2>"$tmp/paused.err" &
sub=$!
started+=("$sub")
exec 8<"$tmp/pipe"
until_true has_joined "$sub"
run "$AETHER_CLI" pub paused --size 1000 --count 5000
ok "a pipe that nobody reads holds nobody up" [ "$status" -eq 0 ]
exec 8<&-
ok "a pipe that nobody reads: closed in the end" ends_with "$sub" 0
until_peers paused best-effort 0
subscribe "$tmp/copy" paused --raw --count 3
run_pub paused --size 10 --count 3
ok "without a loss" ends_with "$sub" 0
silent() { ! grep -v '^aether-cli: waiting for ' "$tmp/copy.err"; }
ok "without a loss nothing is said" silent

# ---- signals and closed ends

# interruptible COMMAND...: runs it with the default action of SIGINT, which a script's background jobs ignore.
interruptible() {
    exec python3 -c 'import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execv(sys.argv[1], sys.argv[1:])' "$@"
}

"$AETHER_CLI" topic create signal || exit 1
for signal in INT:130 TERM:143; do
    interruptible "$AETHER_CLI" sub signal --policy reliable &
    sub=$!
    started+=("$sub")
    until_true has_joined "$sub"
    kill "-${signal%:*}" "$sub"
    ok "sub ends on SIG${signal%:*}" ends_with "$sub" "${signal#*:}"
    until_peers signal reliable 0
done

mkfifo "$tmp/lines"
"$AETHER_CLI" pub signal <"$tmp/lines" &
pub=$!
started+=("$pub")
exec 9>"$tmp/lines"
printf 'whole\npart' >&9
until_true topic_has signal messages 1
kill "$pub"
ok "pub ends on SIGTERM while it waits for input" ends_with "$pub" 143
ok "part of a line isn't published" topic_has signal messages 1
exec 9>&-

subscribe "$tmp/copy" stuck --raw
kill -STOP "$sub"
"$AETHER_CLI" pub stuck --size 100 &
pub=$!
started+=("$pub")
is_full() { [ "$(topic_value stuck full)" -gt 0 ]; }
until_true is_full
capacity=$(topic_value stuck capacity)
ok "a stopped reliable subscriber holds pub back by a ring" topic_has stuck lag "$capacity"
kill "$pub"
ok "pub ends on SIGTERM while the ring is full" ends_with "$pub" 143
kill -CONT "$sub"
all_there() { [ "$(stat -c %s "$tmp/copy")" -eq $(($(topic_value stuck messages) * 101)) ]; }
ok "nothing that was published is lost" until_true all_there
kill "$sub"
wait "$sub"

run_pub ends first
"$AETHER_CLI" sub ends --from oldest 2>"$tmp/err" | head -n 1 >"$tmp/out"
statuses=("${PIPESTATUS[@]}")
ok "sub | head ends by itself" [ "${statuses[0]}" -eq 0 ]
ok "sub | head is quiet" [ ! -s "$tmp/err" ]
"$AETHER_CLI" sub ends --from oldest --count 1 >/dev/full 2>"$tmp/err"
status=$?
ok "a full disk is an error" failed_with 1 "No space left"
finish
