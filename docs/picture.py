"""Makes `docs/console.svg`, README's picture: the real app in a real terminal, drawn as it stood there.

Run as `uv run python docs/picture.py`.
"""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS.parent / "tests" / "console"))

from rich.console import Console  # noqa: E402
from rich.style import Style  # noqa: E402
from rich.terminal_theme import TerminalTheme  # noqa: E402
from rich.text import Text  # noqa: E402
from terminal import Terminal  # noqa: E402

COLUMNS, LINES = 76, 15

_COLOURS = (
    "181a1f e06c75 7ebf78 e5c07b 61afef c678dd 56b6c2 abb2bf 5c6370 e06c75 98c379 e5c07b 61afef c678dd 56b6c2 ffffff"
)
_PALETTE = [(int(c[:2], 16), int(c[2:4], 16), int(c[4:], 16)) for c in _COLOURS.split()]
THEME = TerminalTheme(background=_PALETTE[0], foreground=(205, 209, 214), normal=_PALETTE[:8], bright=_PALETTE[8:])

# Like Rich's own, without the font that it has the reader's browser fetch from elsewhere.
SVG = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg" role="img"
     aria-label="The console of rxecho">
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace;
  font-size: {char_height}px; line-height: {line_height}px; font-variant-east-asian: full-width; }}
.{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/>
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def converse() -> Terminal:
    """The demo, after somebody has talked to it for a while."""
    terminal = Terminal([sys.executable, "-m", "rxecho"], columns=COLUMNS, lines=LINES)
    terminal.wait_for("rtt")
    for line in ("Hello!", "Is anybody there?", '{"temperature": 21.5}'):
        terminal.send(f"{line}\r")
        terminal.wait_for(f"← {line}")
    terminal.send("How are y")
    terminal.wait_until(lambda: "❯ How are y" in terminal.text and "↓ 3" in terminal.text)  # noqa: RUF001
    return terminal


def style(character: Any) -> Style:
    def colour(name: str) -> str | None:
        if name == "default":
            return None
        return {"brown": "yellow"}.get(name) or (f"#{name}" if re.fullmatch("[0-9a-f]{6}", name) else name)

    return Style(
        color=colour(character.fg),
        bgcolor=colour(character.bg),
        bold=character.bold,
        reverse=character.reverse,
        # pyte does not know of dim text.
    )


def draw(terminal: Terminal) -> str:
    """The window as SVG."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    for row in range(LINES):
        cells = terminal.screen.buffer[row]
        console.print(Text.assemble(*((cells[column].data, style(cells[column])) for column in range(COLUMNS))))
    return console.export_svg(title="rxecho", theme=THEME, code_format=SVG, unique_id="rxecho")


def main() -> None:
    """Write the picture."""
    with converse() as terminal:
        picture = draw(terminal)
        terminal.send("\x03")
        terminal.wait()
    (DOCS / "console.svg").write_text(re.sub(r"[ \t]+$", "", picture, flags=re.MULTILINE))


if __name__ == "__main__":
    main()
