"""Lines in a diagram with logarithmic axes, as SVG: enough for the benches, without a library."""

import math
from html import escape

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 420, 320, 62, 14, 40, 52
COLOURS = ["#b3541e", "#1f6f8b", "#5b8c3a", "#7a4ea3"]


def decades(values):
    """The powers of ten around positive values."""
    low = math.floor(math.log10(min(values)))
    return low, max(math.ceil(math.log10(max(values))), low + 1)


def number(power):
    """10^power as it is read: 100, 1 k, 10 M."""
    for size, unit in [(9, " G"), (6, " M"), (3, " k"), (0, "")]:
        if power >= size:
            return f"{10 ** (power - size)}{unit}"
    return f"{10.0 ** power:g}"


def panel(left, title, across, up, series):
    """One diagram at `left`: `series` is a list of (name, [(x, y), …])."""
    points = [point for _, line in series for point in line]
    low_x, high_x = decades([x for x, _ in points])
    low_y, high_y = decades([y for _, y in points])
    wide, high = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    place_x = lambda x: left + LEFT + (math.log10(x) - low_x) / (high_x - low_x) * wide
    place_y = lambda y: TOP + high - (math.log10(y) - low_y) / (high_y - low_y) * high
    out = [f'<text x="{left + LEFT}" y="20" font-weight="bold">{escape(title)}</text>']
    for power in range(low_x, high_x + 1):
        x = place_x(10.0 ** power)
        out.append(f'<path d="M{x:.1f} {TOP}V{TOP + high}" stroke="#ddd"/>')
        out.append(f'<text x="{x:.1f}" y="{TOP + high + 16}" text-anchor="middle">{number(power)}</text>')
    for power in range(low_y, high_y + 1):
        y = place_y(10.0 ** power)
        out.append(f'<path d="M{left + LEFT} {y:.1f}H{left + LEFT + wide}" stroke="#ddd"/>')
        out.append(f'<text x="{left + LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{number(power)}</text>')
    out.append(f'<text x="{left + LEFT + wide / 2}" y="{HEIGHT - 14}" text-anchor="middle">{escape(across)}</text>')
    middle = TOP + high / 2
    out.append(f'<text x="{left + 14}" y="{middle}" text-anchor="middle" transform="rotate(-90 {left + 14} {middle})">{escape(up)}</text>')
    for place, (name, line) in enumerate(series):
        colour = COLOURS[place % len(COLOURS)]
        path = " ".join(f"{place_x(x):.1f},{place_y(y):.1f}" for x, y in sorted(line))
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        out += [f'<circle cx="{place_x(x):.1f}" cy="{place_y(y):.1f}" r="3" fill="{colour}"/>' for x, y in line]
        x, y = sorted(line)[-1]
        out.append(f'<text x="{place_x(x) - 4:.1f}" y="{place_y(y) - 8:.1f}" text-anchor="end" fill="{colour}">{escape(name)}</text>')
    return out


def diagram(panels):
    """Panels side by side: each is (title, across, up, series)."""
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH * len(panels)}" height="{HEIGHT}" font-family="sans-serif" font-size="11">',
           '<rect width="100%" height="100%" fill="white"/>']
    for place, content in enumerate(panels):
        out += panel(place * WIDTH, *content)
    return "\n".join(out + ["</svg>", ""])
