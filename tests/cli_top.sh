#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# top: tables and JSON; and the screen on a real terminal, which tmux emulates: sizes, keys, and whatever can end it.
# shellcheck disable=SC2317 # ok calls functions by name
# shellcheck source-path=SCRIPTDIR source=cli.inc.sh
. "$(dirname "$0")/cli.inc.sh"

top() {
    local expression=$1
    shift
    run "$AETHER_CLI" top --json --count 1 "$@"
    [ "$status" -eq 0 ] && [ ! -s "$tmp/err" ] && json_rows "$tmp/out" "$expression"
}
prints() {
    local pattern=$1
    shift
    run "$AETHER_CLI" top --batch 1 "$@"
    [ "$status" -eq 0 ] && grep -qE -- "$pattern" "$tmp/out" && return
    sed 's/^/# /' "$tmp/out" "$tmp/err"
    return 1
}

# ---- without a screen ------------------------------------------------------------------------------------------------

ok "no daemon" refuses 3 "start it with" top --batch 1
start_daemon || exit 1
ok "no topics" prints '^No topics'
ok "no topics, JSON" top "len(rows) == 1 and rows[0]['instance']['topics'] == 0 and rows[0]['topics'] == [] and rows[0]['instance']['running']"
ok "--interval 0" refuses 2 "from 100ms to 1h" top --interval 0
ok "--batch 1.5" refuses 2 "a whole number" top --batch 1.5
ok "--sort" refuses 2 "use rate, lag, age, loss, p99 or name" top --sort size

"$AETHER_CLI" sub market/eur/usd --raw --policy reliable >/dev/null &
sub=$!
started+=("$sub")
until_true has_joined "$sub"
"$AETHER_CLI" pub market/eur/usd --size 100 --rate 1000 &
pub=$!
started+=("$pub")
"$AETHER_CLI" pub $'e\e[31mvil\xc3\xa4' message || exit 1
until_peers market/eur/usd publishers 1
has_delivered() { "$AETHER_CLI" top --json --count 1 --filter market | grep -q '"delivered_per_s":[1-9].*"p50_ns"'; }
ok "deliveries and latencies are seen" until_true has_delivered
ok "figures" top "rows[0]['instance']['topics'] == 2 and rows[0]['matching'] == 2 and rows[0]['topics'][0]['topic'] == 'market/eur/usd'
    and rows[0]['topics'][0]['published_per_s'] > 0 and rows[0]['topics'][0]['publishers'] == 1
    and rows[0]['topics'][0]['subscribers_by']['reliable'] == 1 and rows[0]['total']['published'] > rows[0]['topics'][0]['lost']
    and rows[0]['top']['pass_s'] > 0"
ok "--filter" top "[r['topic'] for r in rows[0]['topics']] == ['market/eur/usd'] and rows[0]['matching'] == 1" --filter 'M*usd'
ok "--sort and --reverse" top "[r['topic'][0] for r in rows[0]['topics']] == ['m', 'e']" --sort name --reverse
ok "--topics" top "len(rows[0]['topics']) == 1 and 'topic' not in rows[0]['other']" --topics 1
ok "a table" prints '^TOPIC +RATE +BYTES +PUB SUB +LAG +AGE .* P99 '
ok "a table's row" prints '^market/eur/usd +[0-9.,]+( [kM])?/s +[0-9.,]+ [KM]?i?B/s +1 +1 '
ok "the window of the latencies" prints 'P50 to MAX of the last [0-9.]+ m?s; top'
ok "hostile names are escaped" prints '^e\\x1b\[31mvil'
run "$AETHER_CLI" top --batch --count 2 --interval 0.1
ok "--count" [ "$(grep -c '^aetherd pid' "$tmp/out")" -eq 2 ]
"$AETHER_CLI" top --interval 0.1 2>"$tmp/err" | head -n 1 >"$tmp/out"
status=${PIPESTATUS[0]}
ok "top | head ends" [ "$status" -eq 0 ]
ok "top | head is quiet" [ ! -s "$tmp/err" ]

# A loss stays in the list when it is over.
"$AETHER_CLI" topic create small --capacity 8 || exit 1
market_sub=$sub
subscribe "$tmp/small" small --policy best-effort --raw
"$AETHER_CLI" top --json --interval 0.1 --filter small >"$tmp/passes" &
passes=$!
started+=("$passes")
until_true grep -q '"published_per_s":0' "$tmp/passes"
kill -STOP "$sub"
"$AETHER_CLI" pub small --size 8 --count 100 || exit 1
kill -CONT "$sub"
ok "a loss is seen" until_true grep -q '"kind":"loses","text":"subscriber aether-cli sub (pid '"$sub"') loses messages, ' "$tmp/passes"
ok "a loss that is over" until_true grep -qE '"subscriber aether-cli sub \(pid '"$sub"'\) lost [0-9]+ messages [0-9.]+ m?s ago: it was more than the ring behind".*"lost_per_s":0(\.0)?,"last_loss":[1-9]' "$tmp/passes"
kill "$passes" "$sub"
wait "$passes" "$sub" 2>/dev/null
sub=$market_sub
"$AETHER_CLI" topic rm small || exit 1

# ---- on a screen -----------------------------------------------------------------------------------------------------

tm() { tmux -S "$tmp/tmux" -f /dev/null "$@"; }
screen() { tm capture-pane -p; }
screen_has() { screen | grep -qE -- "$1"; }
screen_hasnt() { ! screen | grep -qE -- "$1"; }
# shows PATTERN: the screen will show it. lacks PATTERN: it will not show it any more.
shows() {
    until_true screen_has "$1" && return
    screen | sed 's/^/# /'
    return 1
}
lacks() {
    until_true screen_hasnt "$1" && return
    screen | sed 's/^/# /'
    return 1
}
keys() { tm send-keys "$@"; }

# The shell of the terminal says "shell N:STATUS>", with the number of the command that comes next and the status of the
# last one. line COMMAND: types it.
typed=0
line() {
    typed=$((typed + 1))
    tm send-keys -l "$1" && tm send-keys Enter
}
at_prompt() { [ "$(screen | grep -v '^$' | tail -n 1 | sed 's/ *$//')" = "shell $((typed + 1)):$1>" ]; }
ended_with() {
    until_true at_prompt "$1" && return
    screen | sed 's/^/# /'
    return 1
}

# open_top ARGUMENT...: types the command, and waits for the list. Its pid is in $pid.
program() { pid=$(ps -o pid= -o comm= --ppid "$(tm display-message -p '#{pane_pid}')" | awk '$2 == "aether-cli" { print $1 }') && [ -n "$pid" ]; }
open_top() {
    line "clear; stty -a >$tmp/before; $1 $AETHER_CLI top $2; s=\$?; stty -a >$tmp/after; (exit \$s)"
    shows '^TOPIC ' && until_true program
}
# The terminal is as it was: its modes, the normal screen, a visible cursor, plain cursor keys.
restored() {
    cmp "$tmp/before" "$tmp/after" && [ "$(tm display-message -p '#{alternate_on} #{cursor_flag} #{keypad_cursor_flag}')" = "0 1 0" ] &&
        return
    tm display-message -p '# alternate, cursor, keys: #{alternate_on} #{cursor_flag} #{keypad_cursor_flag}'
    return 1
}
size_is() { [ "$(screen | wc -l)" -eq "$2" ] && [ "$(tm display-message -p '#{pane_width}')" -eq "$1" ]; }
resize() { tm resize-window -x "$1" -y "$2" && until_true size_is "$1" "$2"; }

end_tmux() { tm kill-server 2>/dev/null; }
trap 'end_tmux; cleanup' EXIT

begin_tmux() {
    typed=0
    TERM=xterm LC_ALL=C.UTF-8 tm new-session -d -x 80 -y 24 \
        "exec env PS1='shell \\#:\$?> ' LC_ALL=C.UTF-8 TERM=tmux-256color bash --norc --noprofile -i" && ended_with 0
}

if ! command -v tmux >/dev/null || ! command -v ps >/dev/null; then
    ok "the screen # SKIP there is no tmux, or no ps" true
    finish
fi
begin_tmux || { echo "# tmux doesn't start"; exit 1; }
line "$AETHER_CLI top"
until_true screen_has '^TOPIC |built without ncurses'
if screen_has 'built without ncurses'; then
    ok "the screen # SKIP it isn't built: no ncurses, or -Dtop=disabled" true
    finish
fi
keys q
ok "q" ended_with 0

ok "80x24" open_top "" ""
ok "80x24: figures" shows '^market/eur/usd +[0-9.]+ '
ok "80x24: the daemon" shows '^aetherd pid [0-9]+, up '
ok "80x24: all keys" shows '^Enter open  s r sort  / filter  t window  space pause  [+] - pace  [?] help  q quit$'
ok "80x24: its own cost" shows 'top: [0-9.]+ % of a core'
ok "80x24: a hostile name" shows '^e\\x1b\[31mvilä '
resize 200 50
ok "200x50: more columns" shows '^TOPIC .* P99.9 .* MAX .* RATE, LAST MINUTE'
ok "200x50: a sparkline" shows '^market/eur/usd .*[▁▂▃▄▅▆▇█]'
resize 30 9
ok "30x9: fewer keys" shows '^Enter open  [?] help  q quit$'
ok "30x9: fewer columns" lacks 'P99'
ok "30x9: the list" shows '^marke.*usd +[0-9.]+'
resize 5 2
ok "5x2: it goes on" shows '^[^ ]'
resize 80 24
ok "80x24 again" shows '^TOPIC .* P99'

keys Down
keys Home
keys Enter
ok "Enter: a topic" shows '^topic market/eur/usd'
ok "its latencies" shows '^since creation +[0-9.]+ (ns|µs|ms|s) '
ok "its latencies, of the last pass" shows '^the last [0-9.]+ m?s +[0-9.-]'
ok "its publisher" shows "^aether-cli pub \($pub\) "
ok "its subscriber" shows "^aether-cli sub \($sub\) +(idle|behind) "
keys Tab
keys BTab # does nothing
keys Enter
ok "Enter: a client" shows '^client aether-cli'
ok "its topic" shows '^market/eur/usd '
keys Escape
ok "Escape: back to the topic" shows '^topic market/eur/usd'
keys Escape
ok "Escape: back to the list" shows '^TOPIC '
keys '?'
ok "?: help" shows 'aether-cli top: keys'
ok "?: help: nothing is cut" shows '^ +yellow +messages are being lost$'
keys Escape
shows '^TOPIC '
kill -STOP "$sub"
ok "who holds up whom" shows '^market/eur/usd: publisher'
keys / v i l
ok "/: a filter" lacks '^market'
ok "/: not the problems of other topics" lacks 'market/eur/usd: '
kill -CONT "$sub"
ok "/: its matches" shows 'filter vil: 1 topic'
keys Enter
keys /
keys C-u
keys Enter
ok "/: no filter" shows '^market'
keys s
ok "s: by lag" shows '^by lag'
keys r N
ok "r, N: by name, reversed" shows '^by name reversed'
keys t
ok "t: latencies since creation" shows 'P50 to MAX since creation'
keys +
ok "+: a shorter interval" shows 'every 500 ms'
keys Space
ok "space: a pause" shows '^PAUSED'
keys Space
ok "space: goes on" lacks '^PAUSED'

kill -STOP "$sub"
ok "who holds up whom" shows "^market/eur/usd: publisher aether-cli pub \(pid $pub\) has waited "
ok "and why" shows "\(pid $sub\), which is stopped, [0-9,]+ behind"
kill -CONT "$sub"
ok "until it goes on" lacks 'which is stopped'

kill -9 "$daemon"
wait "$daemon" 2>/dev/null
ok "a dead daemon" shows "^aetherd NOT RUNNING \(last: pid $daemon\)"
ok "a dead daemon: figures" shows '^market/eur/usd '
start_daemon
ok "a successor" shows "^aetherd pid $daemon, up "
keys q
ok "q after all that" ended_with 0
ok "q: the terminal" restored

# ---- whatever ends it ------------------------------------------------------------------------------------------------

# All signals that end a process by default, but those of the C library (32 and 33); RTMIN + n and RTMAX - n are alike.
for signal in HUP INT TERM QUIT ILL TRAP ABRT BUS FPE USR1 SEGV USR2 ALRM STKFLT XCPU XFSZ VTALRM PROF IO PWR SYS 34 49 64; do
    open_top "" "" || echo "# top doesn't start"
    kill -s "$signal" "$pid"
    case $signal in [0-9]*) number=$signal ;; *) number=$(kill -l "$signal") ;; esac
    ok "SIG$signal" ended_with $((128 + number))
    ok "SIG$signal: the terminal" restored
done
open_top "" ""
keys C-c
ok "Ctrl-C" ended_with 130
ok "Ctrl-C: the terminal" restored

# suspend HOW...: stops the program; the shell must have its terminal back. Then it is continued.
stopped() { [ "$(ps -o stat= -p "$pid" | cut -c 1)" = T ]; }
suspend() {
    open_top "" "" || return
    "$@"
    until_true stopped && shows 'Stopped' || return
    line "stty -a >$tmp/after; clear"
    ended_with 0
}
back() {
    line fg
    shows '^TOPIC ' && keys / m a r && shows 'filter mar: 1' && keys Enter && keys q && ended_with 0
}
suspend keys C-z
ok "Ctrl-Z: the terminal" restored
ok "Ctrl-Z: continued" back
stop_it() { kill -s TSTP "$pid"; }
suspend stop_it
ok "SIGTSTP: the terminal" restored
ok "SIGTSTP: continued" back
open_top "" ""
kill -STOP "$pid"
until_true stopped && shows Stopped
ok "SIGSTOP: continued" back
line "stty -a >$tmp/after"
ended_with 0
ok "afterwards: the terminal" restored

ok "keys without stdin" open_top "" "</dev/null"
keys q
ok "keys without stdin: q" ended_with 0
line "clear; $AETHER_CLI top --count 1 --interval 0.1"
ok "--count ends the screen" ended_with 0
open_top "" ""
end_tmux
gone() { [ ! -e "/proc/$pid" ] || [ "$(ps -o stat= -p "$pid" | cut -c 1)" = Z ]; }
ok "it ends with its terminal" until_true gone

# ---- sizes that no terminal has --------------------------------------------------------------------------------------

# on_terminal ROWS COLUMNS [ROWS COLUMNS]: top ends with 0 on a terminal of this size, which then becomes the other one.
# Ncurses begins the drawing of a whole screen with the sequence for "clear".
on_terminal() {
    LC_ALL=C.UTF-8 TERM=xterm timeout "$hang" python3 - "$AETHER_CLI" "$@" <<'END'
import fcntl, os, pty, signal, struct, sys, termios

def resize(size):
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))

def drawn(times):
    shown = b""
    while shown.count(b"\x1b[H\x1b[2J") < times:
        shown += os.read(master, 65536)  # fails when top has ended

sizes = [int(size) for size in sys.argv[2:]]
master, slave = pty.openpty()
resize(sizes[:2])
child = os.fork()
if child == 0:
    os.setsid()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    for number in (0, 1, 2):
        os.dup2(slave, number)
    os.execv(sys.argv[1], [sys.argv[1], "top"])
os.close(slave)
try:
    if len(sizes) > 2:
        drawn(1)
        resize(sizes[2:])  # which sends SIGWINCH
    drawn(1)
    os.write(master, b"q")
    while os.read(master, 65536):
        pass
except OSError:
    pass
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
if status != 0:
    sys.exit(f"# top ended with {status}")
END
}
ok "24x40000" on_terminal 24 40000
ok "65535x65535" on_terminal 65535 65535
ok "80x24, then 32768 columns" on_terminal 24 80 24 32768
ok "80x24, then 65535x65535" on_terminal 24 80 65535 65535
COLUMNS=40000 LINES=40000 ok "80x24 with a larger COLUMNS and LINES" on_terminal 24 80

# ---- other terminals -------------------------------------------------------------------------------------------------

begin_tmux
ok "without colours" open_top "TERM=vt100" ""
keys q
ok "without colours: q" ended_with 0
ok "without UTF-8" open_top "LC_ALL=C" ""
ok "without UTF-8: names" shows '^e\\x1b\[31mvil\\xc3\\xa4 '
only_ascii() { ! screen | LC_ALL=C grep -q '[^ -~]'; }
resize 200 50
shows 'LAST MINUTE'
ok "without UTF-8: ASCII only" until_true only_ascii
keys q
ok "without UTF-8: q" ended_with 0
line "clear; TERM=dumb $AETHER_CLI top"
ok "a terminal that can't move its cursor" shows "can't move its cursor: use --batch"
ok "its status" ended_with 1
line "clear; TERM=nonsense $AETHER_CLI top"
ok "an unknown terminal" shows "'nonsense' \(TERM\) is unknown"
end_tmux
finish
