import builtins
import io
import sys

import numpy as np
import pytest
from PIL import Image

from tf_sigma_vae import animation

SIZE = (5, 10, 13)
"""Frames, height and width: odd, as H.264 does not have them."""
QUANTIZATION = 12.0
"""Gray levels, in the mean: 256 colors for as many as there are pixels."""
CODING = 6.0
"""Gray levels, in the mean, that H.264 may be off on smooth frames."""


def noise(num_frames=SIZE[0], seed=0):
    shape = (num_frames, *SIZE[1:], 3)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def decoded(content):
    """The frames of a GIF file as RGB."""
    with Image.open(io.BytesIO(content)) as picture:
        frames = []
        for place in range(picture.n_frames):
            picture.seek(place)
            frames.append(np.asarray(picture.convert("RGB")))
        return np.stack(frames)


def test_a_gif_opens_again_with_all_frames_and_repeats_forever():
    content = animation.gif(noise())
    with Image.open(io.BytesIO(content)) as picture:
        assert (picture.format, picture.n_frames) == ("GIF", SIZE[0])
        assert picture.size == (SIZE[2], SIZE[1])
        assert picture.info["loop"] == 0
        # 8 frames a second, in whole hundredths.
        assert picture.info["duration"] == 120


def test_the_same_frames_give_the_same_bytes():
    assert animation.gif(noise()) == animation.gif(noise())
    assert animation.gif(noise()) != animation.gif(noise(seed=1))


def test_up_to_256_colors_are_exact():
    grey = np.broadcast_to(np.arange(256, dtype=np.uint8)[:, None], (256, 3)).copy()
    frames = np.random.default_rng(0).permuted(np.broadcast_to(np.arange(256), (4, 256)), axis=1)
    frames = grey[frames].reshape(4, 16, 16, 3)
    np.testing.assert_array_equal(decoded(animation.gif(frames)), frames)


def test_more_colors_are_near_and_black_and_white_exact():
    frames = noise()
    frames[:, 0], frames[:, 1] = 0, 255
    found = decoded(animation.gif(frames))
    np.testing.assert_array_equal(found[:, :2], frames[:, :2])
    assert np.mean(np.abs(found.astype(int) - frames)) < QUANTIZATION


def test_a_color_is_the_same_in_every_frame():
    frames = noise(8)
    frames[:, 3:6] = [200, 31, 77]
    found = decoded(animation.gif(frames))
    assert len(np.unique(found[:, 3:6].reshape(-1, 3), axis=0)) == 1


@pytest.mark.parametrize(
    "frames",
    [noise().astype(np.float32), noise()[..., :1], noise()[0], noise()[:0]],
)
def test_what_is_no_film_is_refused(frames):
    with pytest.raises(ValueError, match="must be uint8"):
        animation.gif(frames)


@pytest.mark.parametrize("rate", [0, -1, 51])
def test_a_rate_that_no_file_has_is_refused(rate):
    with pytest.raises(ValueError, match="frames_per_second must be above 0 and at most 50"):
        animation.gif(noise(), rate)


def test_an_mp4_is_h264_that_every_browser_plays_with_all_frames(tmp_path):
    av = pytest.importorskip("av")
    smooth = np.linspace(0, 255, 64, dtype=np.uint8)
    frames = np.broadcast_to(smooth[None, None, :63, None], (7, 41, 63, 3)).copy()
    frames += np.arange(0, 70, 10, dtype=np.uint8)[:, None, None, None] // 10
    path = str(tmp_path / "film.mp4")
    animation.write_mp4(path, frames)
    with av.open(path) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert stream.average_rate == animation.FRAMES_PER_SECOND
        found = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    # Even sides: a row and a column of white at the end.
    assert [frame.shape for frame in found] == [(42, 64, 3)] * 7
    errors = np.abs(np.stack(found)[:, :41, :63].astype(int) - frames)
    assert errors.mean() < CODING
    first = (tmp_path / "film.mp4").read_bytes()
    animation.write_mp4(path, frames)
    assert (tmp_path / "film.mp4").read_bytes() == first


def test_without_pyav_there_is_no_mp4(monkeypatch):
    importing = builtins.__import__

    def without(name, *args, **kwargs):
        if name.split(".")[0] == "av":
            raise ModuleNotFoundError("No module named 'av'", name="av")
        return importing(name, *args, **kwargs)

    for name in [name for name in sys.modules if name.split(".")[0] == "av"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", without)
    assert not animation.has_mp4()
    with pytest.raises(ModuleNotFoundError):
        animation.write_mp4("never.mp4", noise())
    assert "pip install tf-sigma-vae[video]" in animation.NO_MP4
