# SPDX-License-Identifier: Apache-2.0
"""Which cells are measured.

A cell is what one row says: a case and its parameters, of one implementation. Cells that an implementation can't do are
left out here only if they make no sense for it; otherwise it says itself that it can't, and the row says so, too.
"""

from dataclasses import dataclass, field

SMALL = [8, 32, 64]
SIZES = [8, 32, 64, 256, 1024, 65536, 1048576]
RTT_SIZES = [8, 32, 64, 256, 1024, 4096, 65536]
RATES = [1_000, 10_000, 100_000, 1_000_000, 10_000_000, 20_000_000, 50_000_000]
LOADS = [0.5, 0.9]
PUBLISHERS = [1, 2, 4, 8]
SUBSCRIBERS = [1, 2, 4, 8]
TOPICS = [1, 10, 100, 1_000, 10_000]

EQUAL_MESSAGES = 65536
EQUAL_BYTES = 8 << 20
LARGE = 4096  # above it messages are loaned where that is possible


def equal_capacity(size):
    """Messages in a ring where all have the same: 65,536, or 8 MiB of them, and no fewer than 8."""
    return max(8, min(EQUAL_MESSAGES, EQUAL_BYTES // size))


@dataclass
class Cell:
    """One row to be."""

    case: str  # as the row calls it
    size: int = 8
    how: str = 'single'
    batch: int = 1
    ring: str = 'best'  # or 'equal'
    publishers: int = 1
    subscribers: int = 1
    rate: int = 0
    load: float = 0.0  # of saturation: the rate is known when that was measured
    waits: list = field(default_factory=lambda: ['spin', 'pause', 'gather'])
    copies: int = 1  # adapters at a time
    topics: int = 0
    note: str = ''

    def adapter_case(self):
        """What the adapter is asked for."""
        named = {'wakeup': 'oneway', 'fanout': 'throughput', 'publishers': 'throughput', 'topics': 'throughput',
                 'oversubscribed': 'throughput'}
        return named.get(self.case, self.case)

    def is_latency(self):
        return self.adapter_case() in ('rtt', 'oneway', 'join')

    def capacity(self):
        return equal_capacity(self.size) if self.ring == 'equal' else 0


def throughput(sizes, batches, rings):
    cells = []
    for size in sizes:
        for ring in rings:
            if size > LARGE:
                cells.append(Cell('throughput', size, 'loan', ring=ring))
                cells.append(Cell('throughput', size, 'single', ring=ring))
                continue
            for batch in [1] + batches:
                cells.append(Cell('throughput', size, 'batch' if batch > 1 else 'single', batch, ring))
            cells.append(Cell('throughput', size, 'loan', ring=ring))
    return cells


def round_trips(sizes):
    cells = []
    for size in sizes:
        for how in ['loan', 'single'] if size > LARGE else ['single']:
            cells.append(Cell('rtt', size, how, waits=['spin', 'pause']))
    return cells


def one_way(rates, loads):
    cells = [Cell('oneway', rate=rate, waits=['spin', 'pause']) for rate in rates]
    return cells + [Cell('oneway', load=load) for load in loads]


def many(publishers, subscribers, size):
    not_fair = 'all publishers share a core, the subscribers the other one'
    cells = [Cell('publishers', size, publishers=n, note=not_fair if n > 1 else '') for n in publishers]
    return cells + [Cell('fanout', size, subscribers=n, note=not_fair if n > 1 else '')
                    for n in subscribers]


def rest():
    return [
        Cell('wakeup', rate=1000, waits=['block']),
        Cell('idle', waits=['block']),
        Cell('oversubscribed', copies=2, waits=['spin', 'pause', 'gather', 'block'], ring='equal',
             note='four processes, or threads, on two cores'),
    ]


def cells_of(offer, kind):
    """The cells of an implementation, by what it offers. kind: alone, peers or full. Returns a list."""
    aether = offer['impl'] == 'aether'
    if kind == 'full':
        cells = (throughput(SIZES, [32, 256], ['best', 'equal']) + round_trips(RTT_SIZES) + one_way(RATES, LOADS) +
                 many(PUBLISHERS, SUBSCRIBERS, 8) + rest())
    elif kind == 'peers':
        cells = (throughput(SMALL, [32, 256], ['best']) + throughput(SMALL, [], ['equal']) +
                 throughput([1024, 65536, 1048576], [], ['best']) + round_trips([8, 32, 1024]) +
                 one_way([1_000_000, 10_000_000], [0.5]) + many([2, 4], [2], 8) + rest())
    else:
        cells = (throughput(SMALL + [256, 1024], [32, 256], ['best']) + throughput([65536, 1048576], [], ['best']) +
                 round_trips([8, 32, 64, 1024, 65536]) + one_way(RATES, LOADS) + many([1, 2, 4, 8], [1, 2, 4], 8) + rest())
    if aether:
        cells += [Cell('topics', 8, topics=n) for n in TOPICS]
        cells.append(Cell('join'))
    return [cell for cell in cells if makes_sense(cell, offer, kind)]


def makes_sense(cell, offer, kind):
    if cell.how not in offer['how'] or cell.adapter_case() not in offer['cases']:
        return False
    if cell.how == 'loan' and cell.size <= LARGE and kind != 'full' and offer['how'] != ['loan']:
        return False  # a loan of a few bytes is a copy
    if cell.how == 'single' and cell.size > LARGE and 'loan' in offer['how'] and kind != 'full':
        return False
    if cell.publishers > offer['publishers'] or cell.subscribers > offer['subscribers']:
        return False
    if cell.waits == ['block'] and 'block' not in offer['waits']:
        return False
    if offer['impl'] == 'aether-cas' and cell.case not in ('throughput', 'publishers'):
        return False  # differs from aether by how it claims, and by nothing else
    if offer['impl'].startswith('aether-latency-') and (cell.case not in ('throughput', 'rtt') or cell.size > 32
                                                        or cell.batch > 32):
        return False  # differs by what it measures itself, which costs something a message
    return not offer.get('sizes') or cell.size in offer['sizes']
