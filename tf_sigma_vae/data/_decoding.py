"""Frames of picture and video files, 8-bit, at the size asked for.

Video files are decoded by PyAV, which brings FFmpeg's libraries; it is imported when the first of
them is read, and not before.
"""

import pathlib
import types
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image, ImageOps

from tf_sigma_vae.data import _resize

if TYPE_CHECKING:
    import av

PICTURES = (".png", ".jpg", ".jpeg")
VIDEOS = (".mp4", ".avi", ".gif", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg")
MODES = {1: "L", 3: "RGB"}
_FORMATS = {1: "gray", 3: "rgb24"}
# FFmpeg counts the duration of a file in microseconds.
_TIME_UNITS = 1_000_000
# Matroska's header has no number of frames, but the duration; it may be off by a frame or so.
_WHOLE = 0.9
_EIGHT_BIT_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr")


class Wanted(NamedTuple):
    """How frames are wanted.

    Attributes:
      channels: 1 for grey, 3 for RGB.
      image_size: (height, width); None to keep the size.
      resize: One of `_resize.METHODS`.
    """

    channels: int
    image_size: tuple[int, int] | None
    resize: str

    def fit(self, image: Image.Image) -> np.ndarray:
        """A picture of the mode of `channels` as uint8 `[H, W, C]`."""
        if self.image_size:
            image = _resize.fit(image, self.image_size, self.resize)
        return np.asarray(image).reshape(image.height, image.width, self.channels)


def picture(path: pathlib.Path, wanted: Wanted) -> np.ndarray:
    """Reads one picture, uint8 `[H, W, C]`; it is turned upright as its EXIF data ask.

    Raises:
      ValueError: If it cannot be decoded, or has more than eight bits a channel.
    """
    try:
        with Image.open(path) as opened:
            mode = opened.mode
            image = None
            if mode in _EIGHT_BIT_MODES:
                image = ImageOps.exif_transpose(opened).convert(MODES[wanted.channels])
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(f"{path} cannot be decoded as an image: {error}") from error
    if image is None:
        raise ValueError(f"{path} is not an 8-bit image (its mode is {mode})")
    return wanted.fit(image)


def pictures(paths: list[pathlib.Path], wanted: Wanted) -> np.ndarray:
    """Reads the frames of a video, one file each, uint8 `[T, H, W, C]`.

    Raises:
      ValueError: If one cannot be decoded, or has another size than the first.
    """
    frames = []
    for path in paths:
        frames.append(picture(path, wanted))
        if frames[-1].shape != frames[0].shape:
            raise ValueError(
                f"{path} has {size(frames[-1])} pixels and {paths[0]} has {size(frames[0])}: set "
                "image_size to bring them to one size"
            )
    return np.stack(frames)


def video(path: pathlib.Path, wanted: Wanted) -> np.ndarray:
    """Reads all frames of a video file, uint8 `[T, H, W, C]`.

    Raises:
      ImportError: If PyAV is not installed.
      ValueError: If the file cannot be decoded to its end, or its frames differ in size.
    """
    av = _pyav(path)
    try:
        with av.open(str(path)) as container:
            frames = _frames(container, path, wanted)
    except av.error.FFmpegError as error:
        raise ValueError(f"{path} cannot be decoded as a video: {error}") from error
    return np.stack(frames)


def _frames(
    container: "av.container.InputContainer", path: pathlib.Path, wanted: Wanted
) -> list[np.ndarray]:
    """Every frame of a PyAV container, each uint8 `[H, W, C]`."""
    if not container.streams.video:
        raise ValueError(f"{path} holds no video")
    stream = container.streams.video[0]
    # Damaged frames are errors: by default FFmpeg makes up what is missing.
    stream.codec_context.options = {"err_detect": "explode"}
    frames: list[np.ndarray] = []
    times: list[float | None] = []
    for frame in container.decode(stream):
        levels = frame.to_ndarray(format=_FORMATS[wanted.channels])
        frames.append(wanted.fit(Image.fromarray(levels)))
        times.append(frame.time)
        if frames[-1].shape != frames[0].shape:
            raise ValueError(
                f"{path}: frame {len(frames) - 1} has {size(frames[-1])} pixels and the first "
                f"{size(frames[0])}: set image_size to bring them to one size"
            )
    if not frames or _is_cut_off(container, stream, times):
        raise ValueError(
            f"{path} is cut off or damaged: its {len(frames)} frames are fewer than its header "
            f"says; if it plays to its end, `ffmpeg -i {path.name} NEW.mp4` writes it anew"
        )
    return frames


def _is_cut_off(
    container: "av.container.InputContainer", stream: "av.VideoStream", times: list[float | None]
) -> bool:
    """Whether frames are missing at the end of a file, as far as its header tells.

    Args:
      container: The PyAV container.
      stream: Its video stream.
      times: When each decoded frame is shown, seconds; None where the file does not say.
    """
    if stream.frames:
        return len(times) < stream.frames
    if not container.duration or len(container.streams) > 1 or None in times:
        # Sound may go on longer than the pictures do.
        return False
    seconds = container.duration / _TIME_UNITS
    a_frame = float(1 / stream.average_rate) if stream.average_rate else 0.0
    known = [time for time in times if time is not None]
    return known[-1] - known[0] + a_frame < _WHOLE * seconds


def size(frame: np.ndarray) -> str:
    """The size of a frame `[..., H, W, C]` as text."""
    return f"{frame.shape[-3]}x{frame.shape[-2]}"


def _pyav(path: pathlib.Path) -> types.ModuleType:
    """The module PyAV.

    Raises:
      ImportError: If it is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise ImportError(
            f"{path} is a video file, which PyAV reads: pip install tf-sigma-vae[video] "
            "(folders of pictures, one a frame, need nothing)"
        ) from error
    return av
