#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""run.py - takes measurements and writes one row of JSON a cell. bench/README.md says how and what.

Exit status: 0 all went well, 1 something failed (each is told; the other rows are there), 2 unusable arguments.
"""

import argparse
import collections
import datetime
import glob
import hashlib
import json
import os
import platform
import re
import select
import shutil
import signal
import statistics
import subprocess
import sys
import time

import plan

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.path.join(os.path.dirname(HERE), 'build')
ADAPTERS = os.path.join(BUILD, 'adapters')

FLOOR_MOVED = 1.25  # between before and after: the row is thrown away
FAR = 1.6  # times the usual floor: the cores have moved apart
AGAIN_MIN = 4.5  # without a budget, nothing is repeated for its floor after that
NEAR_WAIT_S = 1.0  # how long to wait for them to come back
NEAR_SHARE = 0.1  # of all the time, at most
FOREIGN = 0.10  # cores: from here on it is warned of
CROWDED = 0.25  # cores: such a run is repeated, as often as one whose floor moved
READY_S = 90  # a virtual machine that compiles as it warms up takes its time
LATE_S = 30
JOURNAL = 'bench-results.jsonl'
OWN = ['aether', 'aether-cas', 'aether-latency-off', 'aether-latency-all']


class Failed(Exception):
    """A cell that can't be measured; the text is for people."""


# ---- the machine ----


def read(path, default=''):
    try:
        with open(path, encoding='utf-8', errors='replace') as file:
            return file.read().strip()
    except OSError:
        return default


def cache_size(level):
    for index in sorted(glob.glob('/sys/devices/system/cpu/cpu0/cache/index*')):
        if read(index + '/level') == str(level) and read(index + '/type') != 'Instruction':
            return read(index + '/size', 'unknown')
    return 'unknown'


def version_of(*command):
    try:
        out = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    except OSError:
        return 'none'
    return out.splitlines()[0].strip() if out else 'none'


def machine():
    """What figures may be compared by: the same fingerprint is the same kind of machine."""
    info = read('/proc/cpuinfo')
    field = lambda name: (re.search(rf'^{name}\s*:\s*(.*)$', info, re.M) or [None, 'unknown'])[1]
    found = {
        'cpu': field('model name'),
        'family': f'{field("cpu family")}/{field("model")}',
        'cores': os.cpu_count(),
        'l2': cache_size(2),
        'l3': cache_size(3),
        'kernel': platform.release(),
        'virtual': 'hypervisor' in info,
        'compiler': version_of('gcc', '--version'),
    }
    same = {key: found[key] for key in ('cpu', 'family', 'cores', 'l2', 'l3')}
    found['fingerprint'] = hashlib.sha256(json.dumps(same, sort_keys=True).encode()).hexdigest()[:8]
    return found


def choose_cpus():
    """Two cores of one last-level cache that aren't one core's two threads, and what isn't as it should be."""
    allowed = sorted(os.sched_getaffinity(0))
    top = '/sys/devices/system/cpu/cpu'
    siblings = lambda cpu: read(f'{top}{cpu}/topology/thread_siblings_list', str(cpu))
    cache = lambda cpu: read(f'{top}{cpu}/cache/index3/shared_cpu_list', 'one')
    if len(allowed) < 2:
        return [allowed[0], allowed[0]], ['only one core: both sides share it, the figures mean little']
    for a in allowed:
        for b in allowed:
            if a < b and siblings(a) != siblings(b) and cache(a) == cache(b):
                return [a, b], []
    return allowed[:2], ['no two cores with a common last-level cache: the figures are those of distant cores']


def commit():
    text = lambda *words: subprocess.run(['git', '-C', HERE, *words], capture_output=True, text=True,
                                         check=False).stdout.strip()
    head = text('rev-parse', '--short=10', 'HEAD') or 'unknown'
    return head + ('+' if text('status', '--porcelain', '--untracked-files=no', '--', 'include', 'src') else '')


# ---- processor time ----

TICK = os.sysconf('SC_CLK_TCK')


def busy_seconds():
    fields = [int(word) for word in read('/proc/stat').splitlines()[0].split()[1:]]
    return (sum(fields[:8]) - fields[3] - fields[4] - (fields[7] if len(fields) > 7 else 0)) / TICK


def session_seconds(session):
    """User and system time of all processes of a session, ended children included."""
    total = 0
    for path in glob.glob('/proc/[0-9]*/stat'):
        text = read(path)
        words = text[text.rfind(')') + 2:].split()
        if len(words) > 14 and words[3] == str(session):
            total += sum(int(word) for word in words[11:15])
    return total / TICK


# ---- the floor ----


class Floor:
    """The ping-pong, asleep between two looks."""

    def __init__(self, cpus):
        self.process = subprocess.Popen([os.path.join(ADAPTERS, 'floor'), *map(str, cpus)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        self.seen = [self.take()['median'] for _ in range(5)]
        self.begun, self.waited = time.monotonic(), 0.0

    def take(self):
        self.process.stdin.write('\n')
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise Failed('the floor could not be measured: ' + os.path.join(ADAPTERS, 'floor') + ' ended')
        return json.loads(line)

    def usual(self):
        """What the floor is most of the time."""
        return statistics.median(self.seen)

    def moved(self, floor_ns):
        return not self.usual() / FAR <= floor_ns <= self.usual() * FAR

    def near(self):
        """Waits a little while the cores are farther apart, or nearer, than most of the time, but for no more than a
        share of all the time, as they may stay so. Returns the floor."""
        begun = time.monotonic()
        left = min(NEAR_WAIT_S, NEAR_SHARE * (begun - self.begun) - self.waited)
        while True:
            now = self.take()
            self.seen = self.seen[-200:] + [now['median']]
            spent = time.monotonic() - begun
            if not self.moved(now['median']) or spent > left:
                self.waited += spent
                return now
            time.sleep(0.05)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


# ---- adapters ----


class Adapter:
    """One adapter, prepared for one cell."""

    def __init__(self, program, cell, offer, wait, capacity, cpus):
        words = [program, cell.adapter_case(), f'impl={offer["impl"]}', f'size={cell.size}', f'how={cell.how}',
                 f'batch={cell.batch}', f'capacity={capacity}', f'publishers={cell.publishers}',
                 f'subscribers={cell.subscribers}', f'wait={wait}', f'cpus={cpus[0]},{cpus[1]}']
        if cell.adapter_case() == 'oneway':
            words.append(f'rate={int(cell.rate)}')
        if cell.topics:
            words.append(f'topics={cell.topics}')
        self.errors = open(os.path.join(ADAPTERS, 'stderr'), 'w+', encoding='utf-8', errors='replace')
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors,
                                        start_new_session=True)
        self.pending = b''
        try:
            self.ready = self.answer(READY_S)
        except Failed:
            self.close()
            raise
        if 'unsupported' in self.ready:
            self.close()

    def answer(self, seconds):
        end = time.monotonic() + seconds
        out = self.process.stdout.fileno()
        while b'\n' not in self.pending:
            left = end - time.monotonic()
            if left <= 0 or not select.select([out], [], [], left)[0]:
                raise Failed(f'no answer within {seconds:.0f} s')
            more = os.read(out, 1 << 20)
            if not more:
                self.errors.seek(0)
                said = self.errors.read().strip().splitlines()
                raise Failed('it ended without an answer' + (f': {said[-1]}' if said else ''))
            self.pending += more
        line, self.pending = self.pending.split(b'\n', 1)
        try:
            found = json.loads(line)
        except ValueError as error:
            raise Failed(f'it answered "{line[:80].decode(errors="replace")}", not JSON') from error
        if 'error' in found:
            raise Failed(found['error'])
        return found

    def start(self, seconds):
        self.process.stdin.write(f'run {seconds}\n'.encode())
        self.process.stdin.flush()

    def run(self, seconds):
        self.start(seconds)
        return self.answer(seconds + LATE_S)

    def seconds(self):
        return session_seconds(self.process.pid)

    def close(self):
        """At the end of its input it ends; what doesn't, and what it leaves, is killed: it is our own session."""
        try:
            self.process.stdin.close()
        except OSError:
            pass
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            pass
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        self.process.stdout.close()
        self.errors.close()


def slow(offer):
    """Starts for seconds, so that fewer settings can be tried."""
    return offer.get('language') == 'Java'


def find_offers(only):
    """All implementations: a list of (program, description); skipped ones have 'skipped'."""
    offers = []
    for program in sorted(glob.glob(os.path.join(ADAPTERS, '*'))):
        if os.path.isdir(program) or not os.access(program, os.X_OK) or os.path.basename(program) == 'floor':
            continue
        try:
            out = subprocess.run([program, 'describe'], capture_output=True, text=True, timeout=60, check=False,
                                 stdin=subprocess.DEVNULL).stdout
            found = [json.loads(line) for line in out.splitlines()]
        except (OSError, ValueError, subprocess.TimeoutExpired) as error:
            print(f'run.py: {program} describe: {error}', file=sys.stderr)
            continue
        offers += [(program, offer) for offer in found if not only or offer['impl'] in only]
    for note in sorted(glob.glob(os.path.join(ADAPTERS, '*.skipped'))):
        impl = os.path.basename(note)[:-len('.skipped')]
        if not only or impl in only:
            offers.append((None, {'impl': impl, 'skipped': read(note)}))
    offers.sort(key=lambda pair: OWN.index(pair[1]['impl']) if pair[1]['impl'] in OWN else len(OWN))
    return offers


# ---- figures ----


def parse_hist(text):
    return [tuple(int(word) for word in pair.split(':')) for pair in text.split()]


def quantile(hist, q):
    """Between two neighbours a count is spread evenly over the space to them: a CPU's counter may move in steps."""
    total = sum(count for _, count in hist)
    rank, seen = q * total, 0
    for i, (ns, count) in enumerate(hist):
        if seen + count > rank:
            low = (hist[i - 1][0] + ns) / 2 if i > 0 else ns
            high = (ns + hist[i + 1][0]) / 2 if i + 1 < len(hist) else ns
            return low + (high - low) * (rank - seen) / count
        seen += count
    return float(hist[-1][0])


def merge(hists):
    counts = collections.Counter()
    for hist in hists:
        for ns, count in hist:
            counts[ns] += count
    return sorted(counts.items())


def thin(hist):
    """With three digits, as an HDR histogram: so that a row stays a line that one can look at."""
    counts = collections.Counter()
    for ns, count in hist:
        scale = 10 ** max(0, len(str(ns)) - 3)
        counts[ns // scale * scale] += count
    return sorted(counts.items())


class Run:
    """One accepted run, of one adapter or of several at a time."""

    def __init__(self, answers, before, after, foreign, cpu):
        self.floor = (before['median'] + after['median']) / 2
        self.floor_best = min(before['best'], after['best'])
        self.floor_paused = (before['paused_median'] + after['paused_median']) / 2
        self.foreign, self.cpu = foreign, cpu
        self.lost = sum(answer.get('lost', 0) for answer in answers)
        self.rate = sum(answer['messages'] / answer['ns'] * 1e9 for answer in answers if answer['ns'] > 0)
        self.hist = parse_hist(answers[0]['hist']) if answers[0].get('hist') else []
        self.p50 = quantile(self.hist, 0.5) if self.hist else 0

    def per_floor(self):
        return self.rate * self.floor * 1e-9


def take_run(floor, adapters, seconds):
    """One run between two floors. Returns (Run, whether the floor moved)."""
    before = floor.near()
    busy, own, start = busy_seconds(), sum(a.seconds() for a in adapters), time.monotonic()
    for adapter in adapters:
        adapter.start(seconds)
    answers = [adapter.answer(seconds + LATE_S) for adapter in adapters]
    elapsed = time.monotonic() - start
    cpu = (sum(a.seconds() for a in adapters) - own) / elapsed
    foreign = max(0.0, (busy_seconds() - busy) / elapsed - cpu)
    after = floor.take()
    moved = max(before['median'], after['median']) > FLOOR_MOVED * min(before['median'], after['median'])
    return Run(answers, before, after, foreign, cpu), moved


class Bench:
    """All that a measurement has in common."""

    def __init__(self, options):
        self.options = options
        self.cpus, self.warnings = choose_cpus()
        for warning in self.warnings:
            print('warning: ' + warning, file=sys.stderr)
        self.floor = Floor(self.cpus)
        self.machine = machine()
        self.commit = commit()
        self.chosen = {}  # (impl, kind of cell) -> what suited it best
        self.saturation = {}
        self.failed = 0

    def open(self, program, cell, offer, wait, capacity):
        adapters = []
        try:
            for _ in range(cell.copies):
                adapters.append(Adapter(program, cell, offer, wait, capacity, self.cpus))
        except Failed:
            for adapter in adapters:
                adapter.close()
            raise
        return adapters

    def choices(self, cell, offer):
        """What to try: ways to wait, and sizes of the ring."""
        waits = [wait for wait in cell.waits if wait in offer['waits']]
        if 'spin' not in offer['waits'] and 'block' in offer['waits'] and 'block' not in waits:
            waits.append('block')  # what has threads or a server of its own may be better off asleep
        capacities = [cell.capacity()]
        if cell.ring == 'best' and cell.adapter_case() == 'throughput':
            capacities = [0, plan.equal_capacity(cell.size), plan.equal_capacity(cell.size) * 8]
            if cell.size > 1024:
                capacities = [0, plan.equal_capacity(cell.size)]
            if slow(offer) or cell.topics:
                capacities = [0]
        return waits, capacities

    def best_choice(self, program, cell, offer):
        """A short look at each; the same for all cells of a kind, as starting some takes long."""
        kind = (offer['impl'], cell.case, cell.how, cell.size if cell.size <= 64 else cell.size > 4096, cell.ring,
                cell.publishers, cell.subscribers, cell.batch, bool(cell.load))
        if slow(offer):
            kind = (offer['impl'], cell.adapter_case(), cell.how, cell.ring, tuple(cell.waits))
        if kind not in self.chosen:
            waits, capacities = self.choices(cell, offer)
            wait = self.best_of([(wait, capacities[0]) for wait in waits], program, cell, offer)[0]
            self.chosen[kind] = self.best_of([(wait, capacity) for capacity in capacities], program, cell, offer)
        return self.chosen[kind]

    def best_of(self, tries, program, cell, offer):
        """The best of some (wait, capacity); the first one if none works. The better of two looks at each counts: what
        disturbs one of them would decide for all runs of the cell."""
        scores = []
        for wait, capacity in tries * (1 if slow(offer) else 2) if len(tries) > 1 else []:
            try:
                adapters = self.open(program, cell, offer, wait, capacity)
            except Failed:
                continue
            if 'unsupported' in adapters[0].ready:
                continue
            try:
                for adapter in adapters:
                    adapter.start(0.02)
                for adapter in adapters:
                    adapter.answer(LATE_S)
                run = take_run(self.floor, adapters, 0.06)[0]
                scores.append((-run.p50 / run.floor if cell.is_latency() else run.per_floor(), wait, capacity))
            except Failed:
                continue
            finally:
                for adapter in adapters:
                    adapter.close()
        return max(scores)[1:] if scores else tries[0]

    def measure(self, program, cell, offer, wanted):
        """Returns (as many accepted runs, discarded, what the adapter said of itself, wait)."""
        wait, capacity = self.best_choice(program, cell, offer)
        adapters = self.open(program, cell, offer, wait, capacity)
        if 'unsupported' in adapters[0].ready:
            return [], 0, adapters[0].ready, wait
        seconds = self.options.seconds
        if cell.case in ('wakeup', 'idle') or (cell.case == 'oneway' and cell.rate <= 1000):
            seconds = max(seconds, 1.0)
        accepted, discarded = [], 0
        try:
            for adapter in adapters:
                adapter.start(min(seconds, 0.05))
            for adapter in adapters:
                adapter.answer(seconds + LATE_S)
            while len(accepted) < wanted:
                run, moved = take_run(self.floor, adapters, seconds)
                if (moved or run.foreign > CROWDED) and discarded < 4 * wanted:
                    discarded += 1
                    continue
                if moved:
                    raise Failed(f'the floor moved by more than 25 % in {discarded} runs: try again')
                accepted.append(run)
        finally:
            for adapter in adapters:
                adapter.close()
        return accepted, discarded, adapters[0].ready, wait

    def row(self, cell, offer, **more):
        row = {'impl': offer['impl'], 'name': offer.get('name', offer['impl']), 'case': cell.case, 'size': cell.size,
               'how': cell.how, 'batch': cell.batch, 'ring': cell.ring, 'publishers': cell.publishers,
               'subscribers': cell.subscribers}
        if cell.adapter_case() == 'oneway':
            row['rate'] = int(cell.rate)
        if cell.load:
            row['load'] = cell.load
        if cell.topics:
            row['topics'] = cell.topics
        for key in ('between', 'lacks', 'settings', 'version', 'language'):
            if key in offer:
                row[key] = offer[key]
        row.update(more)
        row.update(commit=self.commit, machine=self.machine,
                   date=datetime.datetime.now(datetime.timezone.utc).strftime('%Y-%m-%dT%H:%M:%SZ'))
        return row

    def figures(self, cell, runs, discarded):
        """The part of a row that was measured. Runs of an unusual floor count only where there are no others."""
        near = [run for run in runs if not self.floor.moved(run.floor)] or runs
        runs, discarded = near, discarded + len(runs) - len(near)
        middle = statistics.median
        found = {
            'floor_ns': round(middle(run.floor for run in runs), 1),
            'floor_best_ns': min(run.floor_best for run in runs),
            'floor_paused_ns': round(middle(run.floor_paused for run in runs), 1),
            'discarded': discarded,
            'foreign_cpu': round(middle(run.foreign for run in runs), 3),
            'cpu': round(middle(run.cpu for run in runs), 4),
            'lost': sum(run.lost for run in runs),
        }
        warnings = list(self.warnings)
        if discarded:
            warnings.append(f'{discarded} runs were repeated: the floor moved, or other programs were busy')
        if found['foreign_cpu'] > FOREIGN and cell.case != 'idle':
            warnings.append(f'other programs used {found["foreign_cpu"]:.2f} of a core')
        if cell.note:
            warnings.append('not fair on two cores: ' + cell.note)
        found['warnings'] = warnings
        if cell.case == 'idle':
            found['runs'] = [round(run.cpu, 5) for run in runs]
        elif cell.is_latency():
            hist = merge(run.hist for run in runs)
            if not hist:
                raise Failed('no message arrived')
            for key, q in (('p50_ns', .5), ('p90_ns', .9), ('p99_ns', .99), ('p999_ns', .999)):
                found[key] = round(quantile(hist, q), 1)
            p50s = [run.p50 for run in runs]
            found.update(max_ns=hist[-1][0], p50_ns_min=round(min(p50s), 1), p50_ns_max=round(max(p50s), 1),
                         p50_per_floor=round(found['p50_ns'] / found['floor_ns'], 3),
                         runs=[round(value, 1) for value in p50s], hist=thin(hist))
        else:
            rates, per = [run.rate for run in runs], [run.per_floor() for run in runs]
            found.update(msgs_per_s=round(middle(rates)), msgs_per_s_min=round(min(rates)),
                         msgs_per_s_max=round(max(rates)), msgs_per_floor=round(middle(per), 3),
                         msgs_per_floor_min=round(min(per), 3), msgs_per_floor_max=round(max(per), 3),
                         runs=[round(rate) for rate in rates])
        return found

    def one(self, program, cell, offer, wanted, earlier):
        """A row, whatever comes of it, of as many more runs than those of earlier passes, to which they are added."""
        if cell.load and not cell.rate:
            full = self.saturation.get(offer['impl'])
            if not full:
                return None
            cell.rate = int(full * cell.load)
        if cell.case == 'oneway' and cell.rate > 0.95 * self.saturation.get(offer['impl'], 1e12):
            return self.row(cell, offer, unsupported=f'beyond its {self.saturation[offer["impl"]] / 1e6:.3g} M/s')
        try:
            runs, discarded, ready, wait = self.measure(program, cell, offer, wanted)
        except Failed as failure:
            print(f'run.py: {offer["impl"]} {cell.case} {cell.size} B {cell.how}: {failure}', file=sys.stderr)
            if earlier['runs']:
                return None
            self.failed += offer['impl'].startswith('aether')
            return self.row(cell, offer, failed=str(failure))
        if 'unsupported' in ready:
            return self.row(cell, offer, unsupported=ready['unsupported'])
        earlier['runs'] += runs
        earlier['discarded'] += discarded
        extra = {key: value for key, value in ready.items() if key != 'ready'}
        row = self.row(cell, offer, wait=wait, **extra, **self.figures(cell, earlier['runs'], earlier['discarded']))
        if cell.case == 'throughput' and cell.size == 8 and cell.how == 'single':
            rate = row['msgs_per_s']
            self.saturation[offer['impl']] = max(rate, self.saturation.get(offer['impl'], 0))
        return row


# ---- progress ----


def amount(value):
    for unit, scale in (('G', 1e9), ('M', 1e6), ('k', 1e3)):
        if value >= scale:
            return f'{value / scale:.3g} {unit}'
    return f'{value:.3g} '


def duration(ns):
    for unit, scale in (('s', 1e9), ('ms', 1e6), ('us', 1e3)):
        if ns >= scale:
            return f'{ns / scale:.3g} {unit}'
    return f'{ns:.3g} ns'


def size_text(size):
    return f'{size >> 20} MiB' if size >= 1 << 20 else f'{size >> 10} KiB' if size >= 1024 else f'{size} B'


def tell(row, left_s):
    """One line a row, aligned."""
    what = f'{row["case"]:<14} {size_text(row["size"]):>8} {row["how"]}{row["batch"] if row["batch"] > 1 else "":<4}'
    if row.get('rate'):
        what += f' {amount(row["rate"])}/s'
    if row.get('topics'):
        what += f' {row["topics"]} topics'
    if row['publishers'] > 1 or row['subscribers'] > 1:
        what += f' {row["publishers"]}:{row["subscribers"]}'
    if 'msgs_per_s' in row:
        figure = f'{amount(row["msgs_per_s"]):>9}/s {row["msgs_per_floor"]:>9.4g} a floor'
    elif 'p50_ns' in row:
        figure = f'p50 {duration(row["p50_ns"]):>8}  p99 {duration(row["p99_ns"]):>8}  p99.9 {duration(row["p999_ns"]):>8}'
    elif 'cpu' in row:
        figure = f'{row["cpu"] * 100:.3f} % of a core'
    else:
        figure = row.get('unsupported') or row.get('failed') or ''
    floor = f'floor {row["floor_ns"]:.0f} ns' if 'floor_ns' in row else ''
    if row.get('foreign_cpu', 0) > FOREIGN:
        floor += f', others used {row["foreign_cpu"]:.2f} cores'
    if row.get('discarded'):
        floor += f', {row["discarded"]} repeated'
    print(f'{left_s:>5} {row["impl"]:<18} {what:<40} {row["ring"] if row["case"] == "throughput" else "":<6} '
          f'{figure:<44} {floor}', flush=True)


# ---- main ----


def arguments():
    parser = argparse.ArgumentParser(prog='run.py', description='Measures Aether, and its peers beside it.')
    parser.add_argument('--peers', action='store_true', help='every adapter that is built, not only Aether')
    parser.add_argument('--full', action='store_true', help='every cell')
    parser.add_argument('--only', default='', metavar='IMPL,..', help='only these implementations')
    parser.add_argument('--case', default='', metavar='CASE,..', help='only these cases')
    parser.add_argument('--size', default='', metavar='BYTES,..', help='only these sizes')
    parser.add_argument('--runs', type=int, default=0, metavar='N', help='accepted runs a row (3; with --full 5)')
    parser.add_argument('--seconds', type=float, default=0.0, metavar='S', help='a run (0.2; with --peers 0.12)')
    parser.add_argument('--budget', type=float, default=0, metavar='MINUTES', help='begin no cell after that; what was '
                        'measured while the cores were farther apart than usual is repeated if there is time left')
    parser.add_argument('--results', default=os.path.join(BUILD, JOURNAL), metavar='FILE')
    options = parser.parse_args()
    if not options.seconds:
        options.seconds = 0.12 if options.peers and not options.full else 0.2
    if options.runs < 0 or not 0.01 <= options.seconds <= 60:
        parser.error('--runs: at least 1; --seconds: 0.01 to 60')
    options.runs = options.runs or (5 if options.full else 3)
    return options


def plan_all(options):
    """(program, offer, cell), by case and size, so that those who are compared are measured in the same minutes."""
    only = set(options.only.split(',')) if options.only else set()
    kind = 'full' if options.full else 'peers' if options.peers else 'alone'
    if not options.peers and not only:
        only = set(OWN)
    offers = find_offers(only)
    cases = set(options.case.split(',')) - {''}
    sizes = {int(size) for size in options.size.split(',') if size.isdigit()}
    skipped = [offer for _, offer in offers if 'skipped' in offer]
    work = []
    for program, offer in offers:
        if 'skipped' in offer:
            continue
        for cell in plan.cells_of(offer, kind):
            if (not cases or cell.case in cases) and (not sizes or cell.size in sizes):
                work.append((program, offer, cell))
    order = {case: i for i, case in enumerate(['throughput', 'rtt', 'oneway', 'wakeup', 'publishers', 'fanout'])}
    work.sort(key=lambda item: (order.get(item[2].case, 9), item[2].case, item[2].size, item[2].batch, item[2].ring,
                                item[2].rate, item[2].load, item[2].publishers, item[2].subscribers))
    return work, skipped


def usual_floor(rows):
    return statistics.median([row['floor_ns'] for row in rows.values() if 'floor_ns' in row] or [0])


def is_odd(row, usual_ns):
    """The cores were nearer or farther than most of the time, so it can't be compared."""
    return 'floor_ns' in row and not usual_ns / FAR <= row['floor_ns'] <= usual_ns * FAR


def write_rows(path, skipped, rows):
    usual_ns = usual_floor(rows)
    with open(path, 'w', encoding='utf-8') as out:
        for offer in skipped:
            out.write(json.dumps({'impl': offer['impl'], 'case': 'peer', 'skipped': offer['skipped']}) + '\n')
        for _, row in sorted(rows.items()):
            if is_odd(row, usual_ns):
                row = {**row, 'warnings': row['warnings'] + [
                    f'the cores were not as far apart as most of the time: floor {row["floor_ns"]:.0f} ns, else '
                    f'{usual_ns:.0f} ns']}
            out.write(json.dumps(row) + '\n')


def main():
    options = arguments()
    if not os.access(os.path.join(ADAPTERS, 'floor'), os.X_OK):
        print('run.py: the adapters are not built: run bench/build.sh first', file=sys.stderr)
        return 1
    work, skipped = plan_all(options)
    if not work:
        print('run.py: nothing to measure: no such implementation or case', file=sys.stderr)
        return 2
    os.environ.setdefault('AETHERD', os.path.join(BUILD, 'cmd', 'aetherd'))
    bench = Bench(options)
    print(f'{bench.machine["cpu"]}, {bench.machine["cores"]} cores, CPUs {bench.cpus[0]} and {bench.cpus[1]}; '
          f'floor {bench.floor.usual():.0f} ns; {len(work)} cells', flush=True)
    begun, cut, rows = time.monotonic(), 0, {}
    os.makedirs(os.path.dirname(options.results), exist_ok=True)
    partial = options.results + '.new'

    taken = [{'runs': [], 'discarded': 0} for _ in work]

    def late(minutes):
        return minutes and time.monotonic() - begun > minutes * 60

    def measure(i, wanted, left):
        program, offer, cell = work[i]
        row = bench.one(program, cell, offer, wanted, taken[i])
        if row is not None:
            rows[i] = row
            with open(partial, 'a', encoding='utf-8') as out:  # in case it ends early
                out.write(json.dumps(row) + '\n')
            tell(row, left)

    write_rows(partial, skipped, rows)
    for offer in skipped:
        print(f'      {offer["impl"]:<18} skipped: {offer["skipped"]}')
    # A run of each cell, then another one of each: what disturbs a machine lasts for seconds, and would be in all runs
    # of a cell otherwise; and each has its memory elsewhere. What takes seconds to start has all its runs at once.
    passes = options.runs
    for turn in range(passes):
        for i, (_, offer, _) in enumerate(work):
            if turn > 0 and (slow(offer) or not taken[i]['runs']):
                continue
            if late(options.budget):
                cut += turn == 0
                continue
            measure(i, passes if slow(offer) else 1, f'{100 * (turn * len(work) + i + 1) // (passes * len(work))} %')
    for i in [i for i, row in rows.items() if is_odd(row, usual_floor(rows))]:
        if late(options.budget or AGAIN_MIN):
            break
        measure(i, 1, 'again')
    write_rows(partial, skipped, rows)
    bench.floor.close()
    shutil.move(partial, options.results)
    took = time.monotonic() - begun
    print(f'{len(work) - cut} cells in {took / 60:.1f} minutes, in {os.path.relpath(options.results)}')
    if cut:
        print(f'run.py: {cut} cells were not measured: the time was up', file=sys.stderr)
    return 1 if bench.failed or cut else 0


if __name__ == '__main__':
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
    except Failed as failure:
        print(f'run.py: {failure}', file=sys.stderr)
        sys.exit(1)
