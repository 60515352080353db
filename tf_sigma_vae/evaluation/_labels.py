"""Grids with a title, and labels on their rows and columns, drawn into the picture."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tf_sigma_vae import image_grid

FONT_SIZE = 13
MARGIN = 8
GAP = 4
_WHITE, _BLACK, _GREY = (255, 255, 255), (0, 0, 0), (90, 90, 90)


def picture(
    images: np.ndarray,
    title: str,
    subtitle: str = "",
    row_labels: Sequence[str] = (),
    column_labels: Sequence[str] = (),
) -> Image.Image:
    """Draws a labelled grid.

    Args:
      images: uint8 `[rows, columns, H, W, C]` with 1 or 3 channels.
      title: Line above the grid.
      subtitle: Second line, in grey.
      row_labels: A label to the left of each row, or none.
      column_labels: A label above each column, or none.

    Returns:
      RGB image; small images are enlarged by a whole factor, pixel by pixel.

    Raises:
      ValueError: If the images have neither 1 nor 3 channels.
    """
    rows, columns, height, width, channels = images.shape
    if channels not in (1, 3):
        raise ValueError(f"a picture needs images of 1 or 3 channels, got {channels}")
    factor = image_grid.readable_factor((height, width))
    grid = image_grid.tile(image_grid.upscale(images, factor), GAP)
    grid = np.broadcast_to(grid, (*grid.shape[:2], 3))
    font = ImageFont.load_default(FONT_SIZE)
    line = FONT_SIZE + 5
    heading = [text for text in (title, subtitle) if text]
    left = MARGIN + (_widest(font, row_labels) + MARGIN if row_labels else 0)
    top = MARGIN + line * len(heading) + (line if column_labels else 0)
    size = (
        max(left + grid.shape[1], MARGIN + _widest(font, heading)) + MARGIN,
        top + grid.shape[0] + MARGIN,
    )
    canvas = Image.new("RGB", size, _WHITE)
    canvas.paste(Image.fromarray(np.ascontiguousarray(grid)), (left, top))
    draw = ImageDraw.Draw(canvas)
    for place, text in enumerate(heading):
        color = _BLACK if place == 0 else _GREY
        draw.text((MARGIN, MARGIN + place * line), text, fill=color, font=font)
    step_y, step_x = height * factor + GAP, width * factor + GAP
    for place, text in zip(range(rows), row_labels, strict=bool(row_labels)):
        middle = top + place * step_y + height * factor // 2
        draw.text((MARGIN, middle), text, fill=_BLACK, font=font, anchor="lm")
    for place, text in zip(range(columns), column_labels, strict=bool(column_labels)):
        middle = left + place * step_x + width * factor // 2
        draw.text((middle, top - line // 2), text, fill=_BLACK, font=font, anchor="mm")
    return canvas


def _widest(font, texts: Sequence[str]) -> int:
    return max(int(np.ceil(font.getlength(text))) for text in texts)
