#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What aether-cli answers to right and wrong command lines, and when no daemon runs.
# shellcheck disable=SC2317 # ok calls functions by name
# shellcheck source-path=SCRIPTDIR source=cli.inc.sh
. "$(dirname "$0")/cli.inc.sh"

prints() {
    local words=$1
    shift
    run "$AETHER_CLI" "$@"
    [ "$status" -eq 0 ] && [ ! -s "$tmp/err" ] && grep -qF -- "$words" "$tmp/out"
}
# tells LINE ARGUMENT...: fails because no daemon runs, and LINE is the whole error text.
tells() {
    local line=$1
    shift
    refuses 3 "no aetherd" "$@" && [ "$(cat "$tmp/err")" = "aether-cli: $line" ] && return
    sed 's/^/# /' "$tmp/err"
    return 1
}

version=$(meson introspect "$BUILD" --projectinfo | sed 's/.*"version": "\([^"]*\)".*/\1/')
ok "help help" prints "Exit codes:" help help
ok "help" prints "Exit codes:" help
ok "--help" prints "Commands:" --help
ok "--version" prints "aether-cli $version" --version
for command in pub sub stats top latency lag hz clients check shutdown; do
    ok "help $command" prints "usage: aether-cli $command" help $command
    ok "$command --help" prints "usage: aether-cli $command" $command --help
done
for command in ls info create rm; do
    ok "help topic $command" prints "usage: aether-cli topic $command" help topic $command
done
ok "help topic" prints "create TOPIC" help topic
ok "help topic create: --publishers" prints "--publishers KIND " help topic create
ok "help sub: --exit-at-end" prints "no publisher is attached any more" help sub

full() { # ARGUMENT...: output that can't be written is an error
    "$AETHER_CLI" "$@" >/dev/full 2>"$tmp/err"
    status=$?
    failed_with 1 "can't write the output: No space left on device: free some room there"
}
for words in --version --help help "help sub" "sub --help" "topic --help" "help topic"; do
    # shellcheck disable=SC2086 # several words
    ok "$words >/dev/full" full $words
done

ok "no command" refuses 2 "needs a command"
ok "unknown command" refuses 2 "'frobnicate': use topic, pub, sub, stats, top, latency, lag, hz, clients, check, bench, ping, shutdown or help" frobnicate
for words in publish:pub subscribe:sub list:'topic ls' info:'topic info' stop:shutdown; do
    ok "another program's name of ${words#*:}" refuses 2 "did you mean '${words#*:}'?" "${words%%:*}"
done
ok "another program's name of topic rm" refuses 2 "did you mean 'topic rm'?" topic delete
ok "near command" refuses 2 "did you mean 'sub'" sbu
ok "near topic command" refuses 2 "did you mean 'topic create'" topic craete
ok "unknown topic command" refuses 2 "use ls, info, create or rm" topic frobnicate
ok "no topic command" refuses 2 "needs a command" topic
ok "help of nothing" refuses 2 "unknown command" help frobnicate
ok "unknown global option" refuses 2 "--socket PATH" --sockets x
ok "--socket without a value" refuses 2 "needs a value" --socket
ok "--socket empty" refuses 2 "empty" --socket "" stats
ok "--socket too long" refuses 2 "at most 106" --socket "/$(printf 'x%.0s' {1..106})" stats
ok "--socket at the limit" refuses 3 "none has left topics there" --socket "/$(printf 'x%.0s' {1..105})" stats
ok "empty command" refuses 2 "unknown command" ""
ok "command with control characters" refuses 2 '\x1b[2J\n' $'\e[2J\nforged'

ok "unknown option" refuses 2 "did you mean --count" pub t m --cuont 3
ok "far option" refuses 2 "unknown option '--last' of sub: see aether-cli help sub" sub t --last
for option in $("$AETHER_CLI" help topic create | grep -o '^  --[a-z-]*' | grep -vE 'socket|help'); do
    for command in pub sub; do
        "$AETHER_CLI" help "$command" | grep -q "^  $option " && continue
        ok "$command $option" refuses 2 "unknown option '$option' of $command: aether-cli topic create has it" "$command" t "$option" 8
    done
done
ok "pub --slow=evict" refuses 2 "unknown option '--slow=evict' of pub: aether-cli topic create has it" pub t --slow=evict
ok "--help with a value" refuses 2 "--help takes no value" sub t --help=x
ok "option without a value" refuses 2 "--count N" pub t m --count
ok "no topic" refuses 2 "usage: aether-cli pub TOPIC" pub
ok "word too many" refuses 2 "one word too many" pub t m n
for bad in 0 -1 +1 1x "" 1.5 99999999999999999999999; do
    ok "--count '$bad'" refuses 2 "--count '$bad': use a whole number of at least 1" pub t m --count "$bad"
done
for bad in x -1 1e3 nan 1000000001; do
    ok "--rate '$bad'" refuses 2 "from 0 to 1000000000" pub t m --rate "$bad"
done
for bad in 0 1025M 1T 4Kx 5G; do
    ok "--max-message '$bad'" refuses 2 "from 1 to 1073741824" topic create t --max-message "$bad"
done
ok "--inline" refuses 2 "from 1 to 4088" topic create t --inline 4089
ok "--lane" refuses 2 "from 4096 to 2147483648" topic create t --lane 1K
for command in "topic create t" "pub t m" "sub t"; do
    # shellcheck disable=SC2086 # several words
    ok "$command --publishers" refuses 2 "--publishers 'many': use shared, exclusive or unbiased" $command --publishers many
done
for command in "topic create t" "pub t m" "sub t"; do
    # shellcheck disable=SC2086 # several words
    ok "$command --latency" refuses 2 "--latency 'some': use sampled, off or all" $command --latency some
done
ok "--slow" refuses 2 "wait or evict" topic create t --slow never
ok "--slow wait --evict-lag" refuses 2 "use --slow evict" topic create t --slow wait --evict-lag 8
for bad in "" : :1 t: t:x t:1: t:1:x t:1:2:3 t:-1 t:4294967296 t:1:4G "$(printf 't%.0s' {1..64})"; do
    ok "--type '${bad:0:10}'" refuses 2 "NAME[:VERSION[:SIZE]]" topic create t --type "$bad"
done
ok "--preset" refuses 2 "small, default or throughput" topic create t --preset huge
ok "--policy" refuses 2 "reliable, best-effort or latest" sub t --policy lossy
for bad in old last last: last:x last:-1 ""; do
    ok "--from '$bad'" refuses 2 "--from" sub t --from "$bad"
done
ok "--raw --json" refuses 2 "not both" sub t --raw --json
ok "--raw --dump" refuses 2 "--raw or --dump, not both" sub t --raw --dump d
ok "--dump empty" refuses 2 "--dump DIR" sub t --dump ""
ok "--file empty" refuses 2 "--file PATH" pub t --file ""
ok "--file and --size" refuses 2 "not both" pub t --file x --size 8
for words in "pub t m --wait" "pub t --await --timeout" "sub t --timeout" "sub t --idle-exit" "sub t --wait-daemon" "ping --wait"; do
    for bad in forever 5. 1e3 +5 ' 5' 0x5 '5 s' 5S '5s ' -1 1m '' .; do
        # shellcheck disable=SC2086 # several words
        ok "$words '$bad'" refuses 2 "'$bad': use a time" $words "$bad"
    done
done
for words in "stats --watch" "latency t --watch" "hz --window" "check --window"; do
    for bad in 0 9ms 25h 5. 1e3 '5 s' 5S; do
        # shellcheck disable=SC2086 # several words
        case $words in
        check*) run "$AETHER_CLI" $words "$bad" && ok "$words '$bad'" grep -qxF "AETHER UNKNOWN - --window '$bad': use a time from 10ms to 24h, such as 500ms, 5s or 2min" "$tmp/out" ;;
        *) ok "$words '$bad'" refuses 2 "'$bad': use a time from 10ms to 24h" $words="$bad" ;;
        esac
    done
done
ok "--touch without --loan" refuses 2 "use --loan" bench throughput --touch first
ok "--lane of small messages" refuses 2 "use --size" bench throughput --lane 8M
for bad in 0 65 two; do
    ok "bench --publishers '$bad'" refuses 2 "use a whole number from 1 to 64" bench throughput --publishers "$bad"
done
ok "bench fanout has one publisher" refuses 2 "unknown option '--publishers'" bench fanout --publishers 2
ok "--publishers and short messages" refuses 2 "use --size with 8 or more" bench throughput --publishers 2 --size 7
ok "--batch" refuses 2 "use a whole number from 1 to 65535" bench throughput --batch 0
ok "--batch and --loan" refuses 2 "leave --batch out" bench throughput --batch 2 --loan
ok "--batch of large messages" refuses 2 "leave --batch out" bench throughput --batch 2 --size 4089
for command in "pub t m" "sub t"; do
    # shellcheck disable=SC2086 # several words
    {
        ok "$command --name ''" refuses 2 "--name: the value is empty" $command --name ""
        ok "$command --name: too long" refuses 2 "a name of 64 bytes is too long: use at most 63" $command --name "$(printf 'x%.0s' {1..64})"
        ok "$command --name: control characters" refuses 2 "--name '\\x1b[2J\\n': use UTF-8 without control characters" $command --name $'\e[2J\n'
        ok "$command --name: not UTF-8" refuses 2 "--name '\\xff': use UTF-8" $command --name $'\xff'
        ok "$command --name: direction of writing" refuses 2 "use UTF-8 without" $command --name $'\u202e'
    }
done
ok "MESSAGE and --size" refuses 2 "not both" pub t m --size 8
ok "flag with a value" refuses 2 "takes no value" sub t --raw=1
ok "stats --count alone" refuses 2 "--watch" stats --count 2
ok "latency without a topic" refuses 2 "usage: aether-cli latency TOPIC" latency
ok "latency of two topics" refuses 2 "one word too many" latency a b
ok "latency --count alone" refuses 2 "--watch" latency t --count 2
ok "hz --count" refuses 2 "at least 1" hz --count 0
ok "clients word" refuses 2 "one word too many" clients t
ok "lag: unknown option" refuses 2 "did you mean --json" lag --jsn
ok "stats word" refuses 2 "one word too many" stats t

for words in "pub t m" "sub t" "topic create t" "topic rm t" shutdown; do
    # shellcheck disable=SC2086 # several words
    ok "no daemon: $words" tells "no aetherd at $AETHER_SOCKET: start it with: aetherd" $words
done
for words in "topic ls" "topic info t" stats "stats --json"; do
    # shellcheck disable=SC2086
    ok "nothing there: $words" tells "no aetherd at $AETHER_SOCKET, and none has left topics there: start it with: aetherd" $words
done
other="no aetherd at $tmp/other.sock: start it with: aetherd --socket $tmp/other.sock"
ok "--socket wins over the environment" tells "$other" --socket "$tmp/other.sock" pub t m
ok "--socket after the command" tells "$other" pub --socket="$tmp/other.sock" t m
ok "topic info of an empty name" refuses 2 "empty" topic info ""

start_daemon || exit 1
for name in a+b 'a#' /a a/ a//b "" "$(printf 'x%.0s' {1..256})"; do
    ok "topic name '${name:0:10}'" refuses 2 "" topic create "$name"
    ok "pub to '${name:0:10}'" refuses 2 "" pub "$name" m
    ok "sub to '${name:0:10}'" refuses 2 "" sub "$name"
done

"$AETHER_CLI" pub market/eur/usd m || exit 1
for command in "topic info" "topic rm" latency lag hz check "sub --existing" "pub --existing" "lag market/eur/usd"; do
    for typed in market/eur/usb market/eu/usd Market/eur/USD market/eur/udss; do
        # shellcheck disable=SC2086 # several words
        case $command in
        check) run "$AETHER_CLI" check $typed && ok "check of a mistyped topic" grep -q "^AETHER UNKNOWN - .*'$typed'.*: did you mean 'market/eur/usd'?" "$tmp/out" ;;
        *) ok "$command of a mistyped topic" refuses 4 "'market/eur/usd'?" $command $typed ;;
        esac
    done
    # shellcheck disable=SC2086
    [ "$command" = check ] || ok "$command of a topic that is none" refuses 4 "topic 'orders'" $command orders
done
suggests() { # ARGUMENT...: a command that waits for a mistyped topic says so
    run "$AETHER_CLI" "$@"
    grep -qxF "aether-cli: waiting for topic 'market/eur/usb': no publisher has opened it yet; did you mean 'market/eur/usd'?" "$tmp/err"
}
ok "sub of a mistyped topic" suggests sub market/eur/usb --timeout 1.5
ok "sub --await of a mistyped topic" suggests sub market/eur/usb --await --timeout 1.5s
ok "pub --await of a mistyped topic" suggests pub market/eur/usb m --await --timeout 1500ms
ok "half a second" refuses 7 "--timeout was over" sub market/eur/usd --timeout .5 --count 1
finish
