import sys

import numpy as np
import pytest
from PIL import Image

from tf_sigma_vae import data
from tf_sigma_vae.data import video_folder
from tf_sigma_vae.data.video_folder import VideoFolder

H, W = 16, 24
# Lossy codecs give a flat frame back within a few grey levels.
CODEC_TOLERANCE = 4
# Container and codec of each kind of file; ffv1 loses nothing.
FILES = {"a.avi": "mpeg4", "b.mp4": "mpeg4", "c.mov": "mpeg4", "d.mkv": "ffv1"}


def flat(levels, shape=(H, W, 3)):
    return [np.full(shape, level, np.uint8) for level in levels]


@pytest.fixture
def save(tmp_path):
    """Saves frames as the pictures of a folder, `name` holding the number's place."""

    def save_frames(folder, frames, name="frame_{}.png"):
        path = tmp_path / folder
        path.mkdir(parents=True, exist_ok=True)
        for number, frame in enumerate(frames):
            Image.fromarray(frame).save(path / name.format(number))
        return path

    return save_frames


@pytest.fixture
def film(tmp_path):
    """Writes frames into a video file."""
    av = pytest.importorskip("av")

    def write(name, frames, codec="ffv1"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=10)
            stream.height, stream.width = frames[0].shape[:2]
            stream.pix_fmt = "bgr0" if codec == "ffv1" else "yuv420p"
            for frame in frames:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            container.mux(stream.encode(None))
        return path

    return write


def every(source):
    index = np.arange(len(source))
    return source.clips(index, np.zeros_like(index), source.video_shape[0])


def levels(source):
    """The grey levels of flat frames, one list a video."""
    return every(source)[:, :, 0, 0, 0].tolist()


def test_folders_of_frames_are_videos_in_the_order_people_count(save, tmp_path):
    save("train/run10", flat(range(100, 112)))
    save("train/run9", flat(range(12)))
    save("test/only", flat(range(50, 62)), "{}.jpg")
    loaded = VideoFolder(path=str(tmp_path)).load()
    assert levels(loaded["train"]) == [list(range(12)), list(range(100, 112))]
    assert loaded["train"].video_shape == (12, H, W, 3)
    assert np.abs(np.array(levels(loaded["test"])) - np.arange(50, 62)).max() <= CODEC_TOLERANCE


def test_validation_subfolder_is_a_split_too(save, tmp_path):
    for index, split in enumerate(("train", "validation", "test")):
        save(f"{split}/a", flat([index, index]))
    assert levels(VideoFolder(path=str(tmp_path)).load()["validation"]) == [[1, 1]]


def test_unsplit_folder_is_split_by_whole_recordings(save, tmp_path):
    for number in range(10):
        save(f"run{number}", flat([10 * number + t for t in range(4)]))
    options = {"path": str(tmp_path), "test_fraction": 0.3, "video_length": 2}
    first, again = (VideoFolder(**options).load() for _ in range(2))
    assert sorted(levels(first["train"]) + levels(first["test"])) == [
        [10 * n + t, 10 * n + t + 1] for n in range(10) for t in (0, 2)
    ]
    runs = [{video[0] // 10 for video in levels(first[split])} for split in ("train", "test")]
    assert [len(r) for r in runs] == [7, 3]
    assert not runs[0] & runs[1]
    assert levels(first["test"]) == levels(again["test"])
    others = [VideoFolder(**options, split_seed=s).load()["test"] for s in range(1, 5)]
    assert any(levels(other) != levels(first["test"]) for other in others)
    # Nor does validation part a recording.
    splits = data.split_videos(first, validation_fraction=0.3, seed=0)
    runs = [{video[0] // 10 for video in levels(source)} for source in splits]
    assert [len(r) for r in runs] == [5, 2, 3]


def test_recordings_of_different_lengths_become_videos_of_one(save, tmp_path):
    save("train/a", flat(range(8)))
    save("train/b", flat(range(20, 23)))
    save("test/c", flat(range(40, 44)))
    shortest = VideoFolder(path=str(tmp_path)).load()
    assert levels(shortest["train"]) == [[0, 1, 2], [3, 4, 5], [20, 21, 22]]
    assert levels(shortest["test"]) == [[40, 41, 42]]
    of_two = VideoFolder(path=str(tmp_path), video_length=2).load()
    assert levels(of_two["train"]) == [[0, 1], [2, 3], [4, 5], [6, 7], [20, 21]]


def test_a_recording_that_is_too_short_is_named(save, tmp_path):
    save("train/long", flat(range(8)))
    save("train/short", flat(range(3)))
    save("test/c", flat(range(8)))
    with pytest.raises(ValueError, match=r"train/short has 3 frames, fewer than .* which is 5"):
        VideoFolder(path=str(tmp_path), video_length=5).load()
    source = VideoFolder(path=str(tmp_path)).load()["train"]
    message = r"train/short, has 3 frames\): a clip of 4 frames was asked for, but the vid"
    with pytest.raises(ValueError, match=message):
        data.training_clips(source, clip_length=4, global_batch_size=1, seed=0)


@pytest.mark.parametrize(("name", "codec"), FILES.items(), ids=FILES)
def test_video_files_are_read_frame_by_frame(film, tmp_path, name, codec):
    film(f"train/{name}", flat(range(20, 220, 20)), codec)
    film("test/x.mkv", flat(range(10)))
    loaded = VideoFolder(path=str(tmp_path)).load()
    assert loaded["train"].video_shape == (10, H, W, 3)
    error = np.array(levels(loaded["train"])[0]) - np.arange(20, 220, 20)
    assert np.abs(error).max() <= (0 if codec == "ffv1" else CODEC_TOLERANCE)
    assert levels(loaded["test"]) == [list(range(10))]


def test_gif_files_are_read_frame_by_frame(film, tmp_path):
    pictures = [Image.fromarray(x) for x in flat([10, 120, 250])]
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        pictures[0].save(
            tmp_path / split / "a.gif", save_all=True, append_images=pictures[1:], duration=100
        )
    loaded = VideoFolder(path=str(tmp_path)).load()
    assert np.abs(np.array(levels(loaded["test"])) - [10, 120, 250]).max() <= CODEC_TOLERANCE


def test_pixels_and_colors_of_a_video_file_are_where_they_were(film, tmp_path, images):
    x = images(3, H, W, 3)
    film("train/a.mkv", list(x))
    film("test/a.mkv", list(x[:3]))
    np.testing.assert_array_equal(every(VideoFolder(path=str(tmp_path)).load()["train"])[0], x)


def test_video_files_and_folders_of_frames_go_together(film, save, tmp_path):
    film("train/b.mkv", flat([1, 2]))
    save("train/a", flat([3, 4]))
    save("train/c/deeper", flat([5, 6]))
    save("test/d", flat([7, 8]))
    loaded = VideoFolder(path=str(tmp_path)).load()
    assert levels(loaded["train"]) == [[3, 4], [1, 2], [5, 6]]


def test_hidden_and_other_files_are_left_out(save, tmp_path):
    for folder in ("train/a", "test/a", "train/.cache"):
        save(folder, flat([1, 2]))
    save("train/a", flat([9]), ".hidden{}.png")
    (tmp_path / "train" / "notes.txt").write_text("no video")
    assert levels(VideoFolder().load(str(tmp_path))["train"]) == [[1, 2]]


@pytest.mark.parametrize("channels", [1, 3])
def test_channels_are_converted(film, save, tmp_path, channels):
    save("train/a", flat([90, 90], (H, W)))
    film("train/b.mkv", flat([90, 90]))
    save("test/a", flat([90, 90]))
    loaded = VideoFolder(path=str(tmp_path), channels=channels).load()
    assert loaded["train"].video_shape == (2, H, W, channels)
    assert (every(loaded["train"]) == 90).all()


def test_frames_are_brought_to_one_size_as_asked(film, save, tmp_path):
    save("train/a", flat([1, 2], (8, 8, 3)))
    film("train/b.mkv", flat([3, 4]))
    save("test/c", flat([5, 6], (9, 30, 3)))
    loaded = VideoFolder(path=str(tmp_path), image_size=(4, 6), resize="squash").load()
    assert loaded["train"].video_shape == (2, 4, 6, 3)
    assert levels(loaded["train"]) == [[1, 2], [3, 4]]
    with pytest.raises(
        ValueError, match=r"train/b\.mkv has frames of 16x24 pixels and .*train/a of 8x8: set image"
    ):
        VideoFolder(path=str(tmp_path)).load()


def test_a_frame_of_another_size_is_named(save, tmp_path):
    save("train/a", [*flat([1, 2]), *flat([3], (H, 6, 3))])
    save("test/c", flat([5, 6]))
    message = r"frame_2\.png has 16x6 pixels and .*frame_0\.png has 16x24: set image_size"
    with pytest.raises(ValueError, match=message):
        VideoFolder(path=str(tmp_path)).load()


def test_a_video_file_whose_frames_change_their_size_is_named(film, save, tmp_path):
    # Files of this kind can be joined as they are.
    parts = [film(f"{w}.mpg", flat([9] * 6, (H, w, 3)), "mpeg2video") for w in (32, 48)]
    save("train/a", flat([1, 2]))
    save("test/c", flat([5, 6]))
    (tmp_path / "train" / "b.mpg").write_bytes(b"".join(p.read_bytes() for p in parts))
    with pytest.raises(ValueError, match=r"b\.mpg: frame \d has 16x48 pixels and the first 16x32"):
        VideoFolder(path=str(tmp_path)).load()


def test_a_corrupt_frame_is_named(save, tmp_path, images):
    path = save("train/a", images(2, 50, 60, 3)) / "frame_1.png"
    path.write_bytes(path.read_bytes()[:60])
    save("test/c", flat([5, 6]))
    with pytest.raises(ValueError, match=r"frame_1\.png cannot be decoded as an image"):
        VideoFolder(path=str(tmp_path)).load()


@pytest.mark.parametrize(("name", "codec"), FILES.items(), ids=FILES)
@pytest.mark.parametrize("part", [0.0, 0.05, 0.6])
def test_a_video_file_that_is_cut_off_is_named(film, save, tmp_path, images, name, codec, part):
    path = film(f"train/{name}", list(images(10, H, W, 3)), codec)
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    save("test/c", flat([5, 6]))
    with pytest.raises(ValueError, match=rf"{name} (cannot be decoded|is cut off)"):
        VideoFolder(path=str(tmp_path)).load()


def test_a_file_that_is_no_video_is_named(film, tmp_path):
    film("test/b.mkv", flat([1, 2]))
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "a.mp4").write_text("not a video " * 100)
    with pytest.raises(ValueError, match=r"a\.mp4 cannot be decoded as a video"):
        VideoFolder(path=str(tmp_path)).load()


def test_without_pyav_a_video_file_says_how_to_install_it(save, tmp_path, monkeypatch):
    for split in ("train", "test"):
        save(f"{split}/a", flat([1, 2]))
    monkeypatch.setitem(sys.modules, "av", None)
    # Pictures need nothing.
    assert levels(VideoFolder(path=str(tmp_path)).load()["train"]) == [[1, 2]]
    (tmp_path / "train" / "b.mp4").write_bytes(b"")
    with pytest.raises(
        ImportError, match=r"b\.mp4 is a video file.*: pip install tf-sigma-vae\[video\]"
    ):
        VideoFolder(path=str(tmp_path)).load()


def test_missing_and_empty_folders_are_named(save, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"video_folder: there is no folder .*none"):
        VideoFolder(path=str(tmp_path / "none")).load()
    with pytest.raises(FileNotFoundError, match=r"no \.png, .*, \.mpeg files in"):
        VideoFolder(path=str(tmp_path)).load()
    save("a", flat([1, 2]))
    with pytest.raises(ValueError, match="leaves a split empty"):
        VideoFolder(path=str(tmp_path)).load()


def test_names_are_sorted_as_people_count(tmp_path):
    names = ["a2.png", "a10.png", "a10b.png", "b1.png", "b01.png", "10.png", "9.png"]
    ordered = sorted((tmp_path / n for n in names), key=video_folder.natural_order)
    expected = ["9.png", "10.png", "a2.png", "a10.png", "a10b.png", "b01.png", "b1.png"]
    assert [path.name for path in ordered] == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": 4}, r"channels must be one of \[1, 3\], got 4"),
        ({"resize": "stretch"}, "resize must be one of"),
        ({"image_size": 2.5}, "image_size must be"),
        ({"test_fraction": 1}, "test_fraction must be"),
        ({"video_length": 0}, "video_length must be a whole number of at least 1, got 0"),
    ],
)
def test_impossible_options_are_refused_at_construction(options, message):
    with pytest.raises(ValueError, match=message):
        VideoFolder(**options)
