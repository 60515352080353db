"""HTML from plain functions: whatever is not `Html` already is escaped where it is put in.

element("p", "a < b", element("b", name), class_="note")
"""

import base64
import html
import io
from collections.abc import Iterable, Sequence

import numpy as np
from PIL import Image

from tf_sigma_vae.report.charts import Chart

Child = str | float | None
"""What an element holds: HTML, or text, which is escaped; None is left out."""

VOID = ("img", "meta", "br", "col")
PICTURE_WIDTH = 560
"""Up to which small pictures are enlarged, in CSS pixels."""


class Html(str):
    """Text that is HTML already."""


def element(tag: str, /, *children: Child, **attributes: str | float | bool | None) -> Html:
    """An element.

    Args:
      tag: Its name.
      *children: `Html`, or text, which is escaped. None is left out.
      **attributes: `class_` is `class`, `aria_label` is `aria-label`; None is left out, True stands
        for a name without a value.
    """
    given = []
    for key, value in attributes.items():
        key = key.rstrip("_").replace("_", "-")
        if value is True:
            given.append(f" {key}")
        elif value is not None:
            given.append(f' {key}="{html.escape(str(value))}"')
    opening = f"<{tag}{''.join(given)}>"
    return Html(opening if tag in VOID else f"{opening}{join(children)}</{tag}>")


def join(children: Iterable[Child], between: str = "") -> Html:
    """Children in a row, as `element` takes them."""
    texts = [c if isinstance(c, Html) else html.escape(str(c)) for c in children if c is not None]
    return Html(between.join(texts))


def section(identifier: str, title: str, how_to_read: str, *children: Child) -> Html:
    """A part of the page: a heading, a line that says how to read it, and what it shows."""
    heading = element("h2", title, id=identifier)
    lead = element("p", how_to_read, class_="lead")
    return element("section", heading, lead, *children, aria_labelledby=identifier)


def note(*children: Child) -> Html:
    """A small print paragraph."""
    return element("p", *children, class_="note")


def notice(*children: Child) -> Html:
    """A paragraph that must not be overlooked."""
    return element("p", *children, class_="notice", role="note")


def table(caption: str, heading: Sequence, rows: Iterable[Sequence]) -> Html:
    """A table that scrolls in a box of its own where the page is narrow.

    Args:
      caption: What it shows.
      heading: Of the columns.
      rows: Of as many cells as the heading has, the first of which heads the row; a row of one cell
        is a heading above those that follow.
    """
    head = element("tr", *(element("th", cell, scope="col") for cell in heading))
    body = []
    for row in rows:
        if len(row) == 1:
            cell = element("th", row[0], scope="colgroup", colspan=len(heading))
            body.append(element("tr", cell, class_="group"))
            continue
        cells = (element("td", cell) for cell in row[1:])
        body.append(element("tr", element("th", row[0], scope="row"), *cells))
    parts = (element("caption", caption), element("thead", head), element("tbody", *body))
    whole = element("table", *parts)
    return element("div", whole, class_="scroll", role="region", aria_label=caption, tabindex=0)


def with_unit(name: str, unit: str) -> Html:
    """The name of a figure and, if it has one, its unit."""
    return join(
        [name, " ", element("span", unit, class_="unit")] if unit not in ("", "1") else [name]
    )


def details(summary: str, *children: Child) -> Html:
    """What is folded away until it is asked for."""
    return element("details", element("summary", summary), *children)


def preformatted(text: str, label: str) -> Html:
    """Text as it stands, in a box that scrolls."""
    return element(
        "pre", element("code", text), class_="scroll", role="region", aria_label=label, tabindex=0
    )


def chart(drawn: Chart) -> Html:
    """A chart with its caption."""
    source = _data_uri("image/svg+xml", drawn.svg.encode("utf-8"))
    width, height = drawn.size
    image = element("img", src=source, alt=drawn.alt, width=width, height=height)
    return element("figure", image, element("figcaption", drawn.caption), class_="chart")


def charts(drawn: Iterable[Chart | None], small: bool = False) -> Html | None:
    """Charts side by side, as many as there is room for; nothing if there are none."""
    found = [chart(each) for each in drawn if each is not None]
    return element("div", *found, class_="charts small" if small else "charts") if found else None


def pixels(picture: np.ndarray, alt: str, caption: str) -> Html:
    """A picture of which every pixel counts, enlarged without smoothing.

    Args:
      picture: uint8 `[H, W, C]` with 1 or 3 channels.
      alt: What it shows.
      caption: Below it.
    """
    height, width = picture.shape[:2]
    factor = max(1, PICTURE_WIDTH // width)
    image = _image(_png_file(picture), alt, (width * factor, height * factor))
    return element("figure", image, element("figcaption", caption), class_="pixels")


def png(content: bytes, alt: str, caption: str) -> Html:
    """A wide picture file as it is, in a box that scrolls where the page is narrow.

    Raises:
      OSError: If it is not a picture.
    """
    with Image.open(io.BytesIO(content)) as picture:
        size = picture.size
    image = _image(content, alt, size)
    box = element("div", image, class_="scroll", role="region", aria_label=alt, tabindex=0)
    return element("figure", box, element("figcaption", caption), class_="wide")


def drawn(picture: np.ndarray, alt: str, caption: str) -> Html:
    """A picture with words in it, uint8 `[H, W, C]`, shown as `png` shows a file."""
    return png(_png_file(picture), alt, caption)


def film(content: bytes, alt: str, caption: str, instead: str) -> Html:
    """A GIF file that moves; left out on paper, and where the reader's system asks for less motion.

    Args:
      content: The file.
      alt: What it shows.
      caption: Below it.
      instead: What is said where the setting leaves it out.

    Raises:
      OSError: If it is not a picture.
    """
    with Image.open(io.BytesIO(content)) as picture:
        size = picture.size
    moving = _image(content, alt, size, "image/gif")
    figure = element("figure", moving, element("figcaption", caption), class_="motion")
    return join([figure, element("p", instead, class_="note still")])


def _png_file(picture: np.ndarray) -> bytes:
    file = io.BytesIO()
    gray = picture.shape[-1] == 1
    Image.fromarray(picture[..., 0] if gray else picture).save(file, "PNG", optimize=True)
    return file.getvalue()


def _image(content: bytes, alt: str, size: tuple[int, int], media_type: str = "image/png") -> Html:
    source = _data_uri(media_type, content)
    return element("img", src=source, alt=alt, width=size[0], height=size[1])


def _data_uri(media_type: str, content: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"
