"""Moving pictures as files: GIF for every reader, and MP4 where a decoder library is installed.

A GIF has 256 colors. All frames share one palette, and each color has the same nearest entry in
every frame, without dithering: what does not change in the frames does not flicker in the file.
Where there are no more than 256 colors, it is exact.
"""

import fractions
import io

import numpy as np
from PIL import Image

FRAMES_PER_SECOND = 8
NO_MP4 = "no MP4: it needs PyAV, pip install tf-sigma-vae[video]"
"""What to say where `has_mp4` is false."""

_COLORS = 256
_CENTISECONDS = 100
# Of more colors than these, those that share six bits of each channel weigh together.
_MOST_WEIGHED = 1 << 16
_SIX_BITS, _MIDDLE = 0xFCFCFC, 0x020202
_LLOYD_STEPS = 4
# Colors whose distances to the palette are computed at once: 64 MiB.
_COLORS_AT_ONCE = 1 << 16
# Constant quality of H.264, lower is better: at 18 a screen shows no difference.
_QUALITY = "18"


def gif(frames: np.ndarray, frames_per_second: float = FRAMES_PER_SECOND) -> bytes:
    """A GIF that is repeated forever; the same bytes for the same frames.

    Args:
      frames: uint8 `[T, H, W, 3]`. Where two that follow one another are equal, the file holds one
        that is shown for as long.
      frames_per_second: Rounded so that a frame takes whole hundredths of a second.

    Raises:
      ValueError: If they are no such frames.
    """
    _check(frames, frames_per_second)
    palette = _palette(frames)
    levels = _levels(frames, palette)
    entries = palette.ravel().tolist()
    pictures = [Image.frombytes("P", one.shape[::-1], one.tobytes()) for one in levels]
    for picture in pictures:
        picture.putpalette(entries)
    file = io.BytesIO()
    pictures[0].save(
        file,
        "GIF",
        save_all=True,
        append_images=pictures[1:],
        duration=10 * max(2, round(_CENTISECONDS / frames_per_second)),
        loop=0,
        optimize=False,
    )
    return file.getvalue()


def has_mp4() -> bool:
    """Whether PyAV is installed, which `write_mp4` needs."""
    try:
        import av  # noqa: F401
    except ImportError:
        return False
    return True


def write_mp4(path: str, frames: np.ndarray, frames_per_second: float = FRAMES_PER_SECOND) -> None:
    """Writes an MP4 file (H.264, yuv420p), which browsers and phones play.

    Args:
      path: The file.
      frames: uint8 `[T, H, W, 3]`; where H or W is odd, a row or column of white is added.
      frames_per_second: Of the film.

    Raises:
      ModuleNotFoundError: Without PyAV; see `has_mp4`.
      ValueError: If they are no such frames.
      OSError: If the file cannot be written.
    """
    _check(frames, frames_per_second)
    import av

    frames = _even(frames)
    rate = fractions.Fraction(frames_per_second).limit_denominator(1000)
    with av.open(path, "w", format="mp4", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt, stream.options = "yuv420p", {"crf": _QUALITY}
        for frame in frames:
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


def _check(frames: np.ndarray, frames_per_second: float) -> None:
    is_film = frames.ndim == 4 and frames.shape[-1] == 3 and 0 not in frames.shape
    if frames.dtype != np.uint8 or not is_film:
        raise ValueError(
            f"frames must be uint8 [T, H, W, 3], got {frames.dtype} {list(frames.shape)}"
        )
    if not 0 < frames_per_second <= _CENTISECONDS / 2:
        raise ValueError(
            f"frames_per_second must be above 0 and at most {_CENTISECONDS // 2}, got "
            f"{frames_per_second}"
        )


def _even(frames: np.ndarray) -> np.ndarray:
    """The frames with even sides, as yuv420p has a color for each square of four pixels."""
    odd = [(0, side % 2) for side in frames.shape[1:3]]
    white = [(0, 0), *odd, (0, 0)]
    return np.pad(frames, white, constant_values=255) if np.any(odd) else frames


def _packed(frames: np.ndarray) -> np.ndarray:
    """Each color as one number: int32 of the shape without the channels."""
    red, green, blue = (frames[..., channel].astype(np.int32) for channel in range(3))
    return (red << 16) | (green << 8) | blue


def _unpacked(colors: np.ndarray) -> np.ndarray:
    """uint8 `[..., 3]` of packed colors."""
    return np.stack([colors >> 16, colors >> 8 & 255, colors & 255], axis=-1).astype(np.uint8)


def _palette(frames: np.ndarray) -> np.ndarray:
    """Up to 256 colors for all frames, uint8 `[N, 3]`: theirs, or what is near to them.

    Each color weighs as the root of its pixels, so that a small thing keeps its own beside a large
    background. One after the other, the color is taken whose weighted squared distance to those
    taken before is the largest; then all move to the means of what they stand for (Lloyd).
    """
    packed, counts = np.unique(_packed(frames), return_counts=True)
    if len(packed) <= _COLORS:
        return _unpacked(packed)
    if len(packed) > _MOST_WEIGHED:
        packed, place = np.unique(packed & _SIX_BITS, return_inverse=True)
        counts, packed = np.bincount(place, counts), packed | _MIDDLE
    weights, colors = np.sqrt(counts), _unpacked(packed).astype(np.float64)
    chosen, left = [np.argmax(weights)], np.inf
    while len(chosen) < min(_COLORS, len(colors)):
        left = np.minimum(left, np.square(colors - colors[chosen[-1]]).sum(axis=1))
        chosen.append(np.argmax(weights * left))
    palette = colors[chosen]
    for _ in range(_LLOYD_STEPS):
        nearest = _nearest(colors, palette)
        mass = np.bincount(nearest, weights, len(palette))
        sums = [np.bincount(nearest, weights * part, len(palette)) for part in colors.T]
        means = np.stack(sums, axis=1) / np.where(mass > 0, mass, 1.0)[:, np.newaxis]
        palette = np.where(mass[:, np.newaxis] > 0, means, palette)
    palette = np.rint(palette).astype(np.uint8)
    # What words and the space between pictures are drawn with.
    for exact in ((0, 0, 0), (255, 255, 255)):
        palette[_nearest(np.array([exact]), palette)] = exact
    return palette


def _levels(frames: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """The place in the palette that is nearest to each pixel: uint8 `[T, H, W]`."""
    colors, places = np.unique(_packed(frames), return_inverse=True)
    levels = _nearest(_unpacked(colors), palette).astype(np.uint8)[places]
    return levels.reshape(frames.shape[:3])


def _nearest(colors: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """The place in the palette that is nearest to each color `[N, 3]`: int64 `[N]`."""
    palette = palette.astype(np.float32)
    squares = np.square(palette).sum(axis=1)
    parts = np.array_split(colors.astype(np.float32), -(-len(colors) // _COLORS_AT_ONCE))
    return np.concatenate([np.argmin(squares - 2.0 * p @ palette.T, axis=1) for p in parts])
