"""The sweep that a run lies in: its table and its pictures, as the sweep has written them."""

import os
import re

from tf_sigma_vae.report import elements
from tf_sigma_vae.report.content import Content, Sweep
from tf_sigma_vae.sweep.runs import FOLDER

PICTURES = {
    "rate_distortion": (
        "Rate and distortion: the curve of the beta-VAEs of the grid, and the calibrated decoders. "
        "On the left, nearer to the lower left corner is better."
    ),
    "information": (
        "Information over beta: the intervals of I(x; z) and of the marginal KL for every beta and "
        "for the calibrated decoders."
    ),
}
"""Files of a sweep without `.png`, and what they show."""

TABLE_FILE = "table.md"
HOW_TO_READ = (
    'The sweep "{name}" trained every row with the same data and budget. The figures are '
    "means over its seeds, of all its runs and not only of those above."
)


def folder_of(workdir: str) -> str | None:
    """The folder of the sweep that a run lies in, as `SWEEP/runs/RUN`; None if it lies in none."""
    runs, folder = os.path.split(os.path.dirname(os.path.abspath(workdir)))[::-1]
    written = [TABLE_FILE, *(f"{name}.png" for name in PICTURES)]
    if runs != FOLDER or not any(os.path.isfile(os.path.join(folder, name)) for name in written):
        return None
    return folder


def read(folder: str) -> Sweep:
    """What a sweep has written so far."""
    table, pictures = None, {}
    path = os.path.join(folder, TABLE_FILE)
    if os.path.isfile(path):
        with open(path, encoding="utf-8") as file:
            table = file.read()
    for name in PICTURES:
        path = os.path.join(folder, f"{name}.png")
        if os.path.isfile(path):
            with open(path, "rb") as file:
                pictures[name] = file.read()
    return Sweep(os.path.basename(folder), table, pictures)


def section(content: Content) -> elements.Html | None:
    """Pictures and table; None without a sweep."""
    sweep = content.sweep
    if sweep is None or not (sweep.table or sweep.pictures):
        return None
    pictures = [
        elements.png(file, f"Sweep {sweep.name}. {PICTURES[name]}", PICTURES[name])
        for name, file in sweep.pictures.items()
    ]
    table = _markdown(sweep.table) if sweep.table else []
    return elements.section(
        "sweep",
        "Rate and distortion of the sweep",
        HOW_TO_READ.format(name=sweep.name),
        *pictures,
        *table,
    )


def _markdown(text: str) -> list[elements.Html]:
    """The title, table, paragraphs and list of a sweep's table.md."""
    parts, title = [], "Table of the sweep"
    for block in re.split(r"\n\s*\n", text.strip()):
        lines = block.splitlines()
        if lines[0].startswith("#"):
            title = lines[0].lstrip("# ")
        elif len(lines) > 1 and all(line.startswith("|") for line in lines):
            heading, _, *rows = ([cell.strip() for cell in line[1:-1].split("|")] for line in lines)
            parts.append(elements.table(title, heading, rows))
        elif all(line.startswith("- ") for line in lines):
            items = (elements.element("li", line[2:].replace("`", "")) for line in lines)
            parts.append(elements.element("ul", *items, class_="note"))
        else:
            parts.append(elements.note(" ".join(lines)))
    return parts
