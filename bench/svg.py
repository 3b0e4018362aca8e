# SPDX-License-Identifier: Apache-2.0
"""Line plots as SVG, without a library: one function, plot(), and the axes that it takes.

A plot has its own background, so that it can be read on a light page and on a dark one. Lines differ in colour, dash
and marker, so that colour alone is never needed. Each is named at the right, in the order in which the lines end there.
"""

import collections
import html
import math
import unicodedata

# Okabe and Ito's colours, without yellow (too pale on white), and two that keep apart from them. The first is Aether's.
OWN = "#D55E00"
COLOURS = ("#0072B2", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#332288", "#666666")
DASHES = ("", "7 3", "2 3", "9 3 2 3")
MARKERS = ("circle", "square", "diamond", "up", "down")
MARKERS_MAX = 20  # points; a curve of more has none

LEFT, TOP, BOTTOM, WIDTH, HEIGHT = 84, 66, 58, 620, 380  # pixels; WIDTH and HEIGHT are the plot's inside
LINE = 16  # pixels from one name to the next
LETTER = 0.62  # em; the width of a letter in the widest usual sans-serif
NAME_MAX = 34  # letters
FONT = "Helvetica, Arial, 'DejaVu Sans', sans-serif"

# name, [(x, y), ...] by rising x, whether it is Aether's, and the number of its look: the same in all of a report.
Series = collections.namedtuple("Series", "name points own look", defaults=(0,))
# ticks: [(value, text), ...]; low and high are where the axis ends; grid: further lines without a text.
Axis = collections.namedtuple("Axis", "label low high ticks log grid", defaults=((),))


def log_axis(label, values, text):
    """From a round number (1, 2 or 5 times a power of ten) below the values to one above."""
    low, high = min(values), max(values)
    round_numbers = [digit * 10.0 ** power for power in range(math.floor(math.log10(low)) - 1,
                                                              math.ceil(math.log10(high)) + 2) for digit in (1, 2, 5)]
    start = max(number for number in round_numbers if number <= low / 1.02)
    end = min(number for number in round_numbers if number >= high * 1.02)
    inside = [number for number in round_numbers if start <= number <= end]
    powers = [number for number in inside if math.log10(number) % 1 < 1e-6 or math.log10(number) % 1 > 1 - 1e-6]
    named = inside if len(inside) <= 10 else powers
    return Axis(label, start, end, [(number, text(number)) for number in named], True, tuple(inside))


def linear_axis(label, values, text):
    """From zero to a round number above the values."""
    high = max(values) * 1.02
    step = 10.0 ** math.floor(math.log10(high))
    step = next(step * part for part in (0.1, 0.2, 0.5, 1, 2) if high / (step * part) <= 8)
    count = math.ceil(high / step - 1e-9)
    return Axis(label, 0.0, step * count, [(step * i, text(step * i)) for i in range(count + 1)], False)


def tick_axis(label, ticks, log, margin=0.0):
    """An axis that ends at its first and its last tick, or a little beyond: a share of the axis."""
    low, high = ticks[0][0], ticks[-1][0]
    if log:
        factor = (high / low) ** margin if high > low else 2
        return Axis(label, low / factor, high * factor, ticks, True)
    space = (high - low) * margin if high > low else 1
    return Axis(label, low - space, high + space, ticks, False)


def esc(text):
    return html.escape("".join(" " if unicodedata.category(c)[0] == "C" else c for c in text), quote=True)


def cut(text, limit=NAME_MAX):
    return text if len(text) <= limit else text[: limit - 1] + "…"


def share(axis, value):
    """Where on the axis a value is: 0 at its start, 1 at its end."""
    if axis.log:
        return math.log(value / axis.low) / math.log(axis.high / axis.low)
    return (value - axis.low) / (axis.high - axis.low)


def spread(wanted, gap, low, high):
    """Places as near as possible to the wanted ones (sorted), `gap` apart, from low to high, which is wide enough."""
    places = []
    for place in wanted:
        places.append(max(place, places[-1] + gap if places else low))
    limit = high
    for i in range(len(places) - 1, -1, -1):
        places[i] = min(places[i], limit)
        limit = places[i] - gap
    return places


def text_at(x, y, text, size=12, anchor="start", more=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}"{more}>{esc(text)}</text>'


def line(x1, y1, x2, y2, colour, width=1.0, more=""):
    return (f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" '
            f'stroke-width="{width}"{more}/>')


def marker(shape, x, y, colour, radius):
    if shape == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{colour}"/>'
    corners = {"square": ((-.9, -.9), (.9, -.9), (.9, .9), (-.9, .9)),
               "diamond": ((0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)),
               "up": ((0, -1.2), (1.1, .9), (-1.1, .9)), "down": ((0, 1.2), (1.1, -.9), (-1.1, -.9))}[shape]
    points = " ".join(f"{x + dx * radius:.1f},{y + dy * radius:.1f}" for dx, dy in corners)
    return f'<polygon points="{points}" fill="{colour}"/>'


def style(one):
    """(colour, dash, marker, width) of a series. Aether's first look is the thickest."""
    turn = one.look // len(COLOURS)
    dash = DASHES[(one.look if one.own else turn) % len(DASHES)]
    shape = MARKERS[(one.look if one.own else one.look + turn) % len(MARKERS)]
    if one.own:
        return OWN, dash, shape, 3.5 if one.look == 0 else 2.5
    return COLOURS[one.look % len(COLOURS)], dash, shape, 1.5


def draw_axes(x_axis, y_axis, height):
    """The grid, and the ticks' texts: one that would run into the one before is left out."""
    parts, end = [], -1e9
    for value in {*y_axis.grid, *(value for value, _ in y_axis.ticks)}:
        y = TOP + height * (1 - share(y_axis, value))
        parts.append((y, line(LEFT, y, LEFT + WIDTH, y, "#e4e4e4")))
    parts = [part for _, part in sorted(parts)]
    for value, text in y_axis.ticks:
        parts.append(text_at(LEFT - 8, TOP + height * (1 - share(y_axis, value)) + 4, text, anchor="end"))
    for value, text in x_axis.ticks:
        x = LEFT + WIDTH * share(x_axis, value)
        parts.append(line(x, TOP, x, TOP + height, "#e4e4e4"))
        half = len(text) * 12 * LETTER / 2
        if x - half > end + 3:
            parts.append(text_at(x, TOP + height + 18, text, anchor="middle"))
            end = x + half
    parts.append(f'<rect x="{LEFT}" y="{TOP}" width="{WIDTH}" height="{height}" fill="none" stroke="#8a8a8a"/>')
    parts.append(text_at(LEFT + WIDTH / 2, TOP + height + 42, x_axis.label, 13, "middle"))
    middle = TOP + height / 2
    parts.append(text_at(22, middle, y_axis.label, 13, "middle", f' transform="rotate(-90 22 {middle:.1f})"'))
    return parts


def draw_series(one, place):
    colour, dash, shape, width = style(one)
    points = [place(x, y) for x, y in one.points]
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    parts = [f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width}" stroke-linejoin="round"'
             f'{dashed}/>']
    if len(points) <= MARKERS_MAX:
        parts += [marker(shape, x, y, colour, 4.5 if one.own else 3.2) for x, y in points]
    return parts


def draw_name(one, y, ending):
    """The name at the right, and a line to it from where the series leaves the plot, if it gets there."""
    colour, dash, shape, width = style(one)
    right = LEFT + WIDTH
    parts = []
    if ending[0] > right - 2:
        parts.append(line(right + 1, ending[1], right + 18, y, colour, 1, ' stroke-opacity="0.6"'))
    parts.append(line(right + 20, y, right + 48, y, colour, width, f' stroke-dasharray="{dash}"' if dash else ""))
    if len(one.points) <= MARKERS_MAX:
        parts.append(marker(shape, right + 34, y, colour, 4.5 if one.own else 3.2))
    bold = f' font-weight="bold" fill="{OWN}"' if one.own else ""
    parts.append(text_at(right + 54, y + 4, cut(one.name), more=bold))
    return parts


def plot(title, subtitle, x_axis, y_axis, series):
    """The SVG of a plot, as text. Aether's lines come last, on top of the others."""
    series = [one for one in series if one.points]
    height = max(HEIGHT, LINE * len(series) + 10)
    letters = max([len(cut(one.name)) for one in series], default=0)
    wide = max(LEFT + WIDTH + 54 + letters * 12 * LETTER + 16, LEFT + len(title) * 17 * LETTER + 16,
               LEFT + len(subtitle) * 12 * LETTER + 16)
    tall = TOP + height + BOTTOM

    def place(x, y):
        return LEFT + WIDTH * share(x_axis, x), TOP + height * (1 - share(y_axis, y))

    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{wide:.0f}" height="{tall:.0f}" '
             f'viewBox="0 0 {wide:.0f} {tall:.0f}" role="img" font-family="{FONT}" fill="#222222">',
             f"<title>{esc(title)}</title>",
             f'<rect x="0.5" y="0.5" width="{wide - 1:.0f}" height="{tall - 1:.0f}" rx="6" fill="#ffffff" '
             'stroke="#bbbbbb"/>',
             text_at(LEFT, 28, title, 17, more=' font-weight="bold"'),
             text_at(LEFT, 49, subtitle, 12, more=' fill="#555555"')]
    parts += draw_axes(x_axis, y_axis, height)
    for one in sorted(series, key=lambda one: (one.own, -one.look)):
        parts += draw_series(one, place)
    named = sorted(((place(*one.points[-1]), one) for one in series), key=lambda item: item[0][1])
    places = spread([ending[1] for ending, _ in named], LINE, TOP + 6, TOP + height - 6)
    for y, (ending, one) in zip(places, named):
        parts += draw_name(one, y, ending)
    return "\n".join(parts + ["</svg>", ""])
