"""The chart in README: messages a second of each client, drawn as an SVG from the figures of echo.py.

It has a background of its own, so that it reads the same on a light page and on a dark one.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from report import Figures, Results, figures_of

WORKS = ("small", "kilobyte", "hundred_kilobytes", "megabyte")
COLUMNS = 2

PANEL_WIDTH, BAR_HEIGHT, BAR_STEP = 420, 13, 18
LABEL_WIDTH, VALUE_WIDTH = 178, 62
MARGIN, HEADER, PANEL_TITLE = 20, 58, 26

PAPER, EDGE, INK, QUIET = "#ffffff", "#d1d9e0", "#1f2328", "#59636e"
OURS = "#c2410c"
LIMIT = "#b6bec7"
PEERS = {
    "picows": "#2563a8",
    "aiohttp": "#2f7d5b",
    "RxJS": "#8a3f8f",
    "websockets": "#4b6a88",
    "websockets sync": "#7a8fa6",
    "websocket-client": "#8a7a4a",
}
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


def colour(client: str) -> str:
    """The same for a client with what accelerates it as without."""
    return {"rxecho": OURS, "bare socket": LIMIT, **PEERS}[client.partition(" + ")[0]]


def draw(results: Results) -> str:
    """The same figures give the same bytes."""
    panels = [(results["works"][work]["title"], figures_of(results, work)) for work in WORKS]
    height = PANEL_TITLE + BAR_STEP * max(len(figures) for _, figures in panels) + MARGIN
    rows = -(-len(panels) // COLUMNS)
    width, total = MARGIN + (PANEL_WIDTH + MARGIN) * COLUMNS, HEADER + height * rows + MARGIN
    made = results["made"]
    notes = (
        f"Medians of {results['runs']} runs, {made['processors']} processors, Python {made['python']}.",
        "Each panel has its own scale.",
        "The bare socket sends frames that were encoded beforehand.",
    )
    size = f'viewBox="0 0 {width} {total}" width="{width}" height="{total}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-labelledby="title description">',
        '<title id="title">Messages a second that WebSocket clients echo</title>',
        f'<desc id="description">{escape(describe(panels))}</desc>',
        f'<rect x="0.5" y="0.5" width="{width - 1}" height="{total - 1}" rx="10" fill="{PAPER}" stroke="{EDGE}"/>',
        f'<g font-family="{FONT}">',
        text(MARGIN, 30, "Messages echoed a second", size=17, weight=600),
        text(MARGIN, 48, " ".join(notes), fill=QUIET),
    ]
    for index, (title, figures) in enumerate(panels):
        row, column = divmod(index, COLUMNS)
        x, y = MARGIN + (PANEL_WIDTH + MARGIN) * column, HEADER + height * row
        lines.append(text(x, y + 19, title, size=13, weight=600))
        lines += draw_bars(x, y + PANEL_TITLE, figures)
    return "\n".join([*lines, "</g>", "</svg>", ""])


def draw_bars(x: int, y: int, figures: dict[str, Figures]) -> Iterator[str]:
    room = PANEL_WIDTH - LABEL_WIDTH - VALUE_WIDTH
    most = max(its.speed for its in figures.values())
    for client, its in figures.items():
        weight = 700 if client == "rxecho" else 400
        length = max(1.0, its.speed / most * room)
        middle = y + BAR_STEP / 2
        yield text(x + LABEL_WIDTH - 8, middle + 4, client, weight=weight, anchor="end")
        yield (
            f'<rect x="{x + LABEL_WIDTH}" y="{middle - BAR_HEIGHT / 2:.1f}" width="{length:.1f}" '
            f'height="{BAR_HEIGHT}" rx="2" fill="{colour(client)}"/>'
        )
        yield text(x + LABEL_WIDTH + length + 6, middle + 4, f"{its.speed:,.0f}", weight=weight)
        y += BAR_STEP


def text(
    x: float, y: float, content: str, *, size: int = 12, weight: int = 400, fill: str = INK, anchor: str = "start"
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" font-weight="{weight}" fill="{fill}" '
        f'text-anchor="{anchor}">{escape(content)}</text>'
    )


def describe(panels: list[tuple[str, dict[str, Figures]]]) -> str:
    """The chart, for who hears it."""
    return " ".join(
        f"{title}: {', '.join(f'{client} {its.speed:,.0f}' for client, its in figures.items())}."
        for title, figures in panels
    )
