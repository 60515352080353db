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
    factor: int | None = None,
    title_color: tuple[int, int, int] = _BLACK,
) -> Image.Image:
    """Draws a labelled grid.

    Args:
      images: uint8 `[rows, columns, H, W, C]` with 1 or 3 channels.
      title: Line above the grid.
      subtitle: Second line, in grey.
      row_labels: A label to the left of each row, or none.
      column_labels: A label above each column, or none; of several lines if they hold breaks.
      factor: By which the images are enlarged, pixel by pixel; None for what makes them readable.
      title_color: RGB of the title.

    Returns:
      RGB image.

    Raises:
      ValueError: If the images have neither 1 nor 3 channels.
    """
    rows, columns, height, width, channels = images.shape
    if channels not in (1, 3):
        raise ValueError(f"a picture needs images of 1 or 3 channels, got {channels}")
    factor = factor or image_grid.readable_factor((height, width))
    grid = image_grid.tile(image_grid.upscale(images, factor), GAP)
    grid = np.broadcast_to(grid, (*grid.shape[:2], 3))
    font = ImageFont.load_default(FONT_SIZE)
    line = FONT_SIZE + 5
    heading = [text for text in (title, subtitle) if text]
    left = MARGIN + (_widest(font, row_labels) + MARGIN if row_labels else 0)
    label_height = line * max((text.count("\n") + 1 for text in column_labels), default=0)
    top = MARGIN + line * len(heading) + label_height
    size = (
        max(left + grid.shape[1], MARGIN + _widest(font, heading)) + MARGIN,
        top + grid.shape[0] + MARGIN,
    )
    canvas = Image.new("RGB", size, _WHITE)
    canvas.paste(Image.fromarray(np.ascontiguousarray(grid)), (left, top))
    draw = ImageDraw.Draw(canvas)
    for place, text in enumerate(heading):
        color = title_color if place == 0 else _GREY
        draw.text((MARGIN, MARGIN + place * line), text, fill=color, font=font)
    step_y, step_x = height * factor + GAP, width * factor + GAP
    for place, text in zip(range(rows), row_labels, strict=bool(row_labels)):
        middle = top + place * step_y + height * factor // 2
        draw.text((MARGIN, middle), text, fill=_BLACK, font=font, anchor="lm")
    for place, text in zip(range(columns), column_labels, strict=bool(column_labels)):
        middle = left + place * step_x + width * factor // 2
        center = (middle, top - label_height // 2)
        draw.text(center, text, fill=_BLACK, font=font, anchor="mm", align="center")
    return canvas


def bordered(images: np.ndarray, colors: np.ndarray, factor: int, width: int) -> np.ndarray:
    """Enlarged images, each in a border of its color.

    Args:
      images: uint8 `[..., H, W, C]` with 1 or 3 channels.
      colors: uint8 `[..., 3]`, RGB.
      factor: By which the images are enlarged, pixel by pixel.
      width: Of the border, pixels.

    Returns:
      uint8 `[..., factor * H + 2 * width, factor * W + 2 * width, 3]`.
    """
    inner = image_grid.upscale(images, factor)
    height, breadth = (side + 2 * width for side in inner.shape[-3:-1])
    shape = (*inner.shape[:-3], height, breadth, 3)
    outer = np.broadcast_to(colors[..., np.newaxis, np.newaxis, :], shape).copy()
    outer[..., width : height - width, width : breadth - width, :] = inner
    return outer


def stacked(pictures: Sequence[Image.Image]) -> Image.Image:
    """Pictures below one another, on white."""
    size = max(one.width for one in pictures), sum(one.height for one in pictures)
    canvas, top = Image.new("RGB", size, _WHITE), 0
    for one in pictures:
        canvas.paste(one, (0, top))
        top += one.height
    return canvas


def _widest(font: ImageFont.ImageFont | ImageFont.FreeTypeFont, texts: Sequence[str]) -> int:
    return max(int(np.ceil(font.getlength(text))) for text in texts)
