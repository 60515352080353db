import io
import os
import pathlib
import tarfile

import numpy as np
import pytest
import tensorflow_datasets as tfds

from tf_sigma_vae.cli import prepare
from tf_sigma_vae.data import _array_file, _tfds
from tf_sigma_vae.data.bair_push import BairPush

ARCHIVE = "bair_robot_pushing_dataset_v0.tar"
T, H, W, C = 30, 64, 64, 3
FILES = {"train": ("traj_0_to_1.tfrecords", "traj_2_to_3.tfrecords"), "test": ("traj_0.tfrecords",)}
PER_FILE = {"train": 2, "test": 1}
NUM_VIDEOS = {"train": 4, "test": 1}


def drawn(camera, split):
    """Distinct videos that name their camera, split and place: flat frames but for a corner."""
    number = {"image_main": 0, "image_aux1": 100}[camera] + {"train": 0, "test": 50}[split]
    x = np.empty((NUM_VIDEOS[split], T, H, W, C), np.uint8)
    x[:] = (number + np.arange(len(x)))[:, None, None, None, None]
    x[:, :, 0, 0, 0] = np.arange(T)
    x[:, :, 0, 1] = (1, 2, 3)
    return x


def record(videos, number):
    """A video of both cameras as the publishers wrote it: all frames in the context."""
    import tensorflow as tf

    features = {}
    for t in range(T):
        for camera, x in videos.items():
            image = tf.train.BytesList(value=[x[number, t].tobytes()])
            features[f"{t}/{camera}/encoded"] = tf.train.Feature(bytes_list=image)
        for name, size in (("action", 4), ("endeffector_pos", 3)):
            values = tf.train.FloatList(value=[0.5] * size)
            features[f"{t}/{name}"] = tf.train.Feature(float_list=values)
    context = tf.train.Features(feature=features)
    return tf.train.SequenceExample(context=context).SerializeToString()


def write_archive(folder):
    import tensorflow as tf

    with tarfile.open(folder / ARCHIVE, "w") as archive:
        for split, names in FILES.items():
            videos = {camera: drawn(camera, split) for camera in ("image_main", "image_aux1")}
            for file_number, name in enumerate(names):
                path = str(folder / name)
                with tf.io.TFRecordWriter(path) as writer:
                    for number in range(PER_FILE[split]):
                        writer.write(record(videos, file_number * PER_FILE[split] + number))
                content = pathlib.Path(path).read_bytes()
                member = tarfile.TarInfo(f"softmotion30_44k/{split}/{name}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return folder / ARCHIVE


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A folder in which TFDS's own builder has prepared a tiny archive, placed there by hand."""
    archive = write_archive(tmp_path_factory.mktemp("upstream"))
    data_dir = tmp_path_factory.mktemp("data")
    builder = type(_tfds.builder("bair_robot_pushing_small", str(data_dir)))
    (url,) = builder.url_infos
    with pytest.MonkeyPatch.context() as patch:
        info = tfds.download.checksums.compute_url_info(archive)
        patch.setattr(builder, "url_infos", {url: info})
        said = prepare.prepare("bair_push", str(data_dir), archives=str(archive))
    assert "bair_push is prepared" in said
    files = {path.name for path in data_dir.rglob("*.npy*")}
    assert files == {"image_aux1-train.npy", "image_aux1-test.npy"}
    return data_dir


@pytest.fixture
def data_dir(prepared):
    """The prepared data without the files that preparing and `load` leave beside them."""
    for path in prepared.rglob("*.npy*"):
        path.unlink()
    return str(prepared)


@pytest.fixture(scope="module")
def decoded(prepared):
    """The bytes of the files that `load` leaves beside the prepared data, by path."""
    BairPush().load(str(prepared))
    return {path: path.read_bytes() for path in prepared.rglob("*.npy")}


@pytest.fixture
def decoded_dir(decoded, data_dir):
    """The prepared data with these files."""
    for path, content in decoded.items():
        path.write_bytes(content)
    return data_dir


def every(source):
    index = np.arange(len(source))
    return source.clips(index, np.zeros_like(index), T)


def file_of(data_dir, split="train", camera="image_aux1"):
    (path,) = pathlib.Path(data_dir).rglob(f"{camera}-{split}.npy")
    return path


def test_the_published_archive_becomes_memory_mapped_videos_that_are_decoded_once(
    decoded_dir, monkeypatch
):
    monkeypatch.setattr(_array_file, "write", None)
    loaded = BairPush().load(decoded_dir)
    assert set(loaded) == {"train", "test"}
    for split, source in loaded.items():
        assert source.video_shape == (T, H, W, C)
        # Their order is that of the prepared files, not that of the archive.
        assert sorted(map(bytes, every(source))) == sorted(map(bytes, drawn("image_aux1", split)))
        assert isinstance(source._recordings, np.memmap)
        assert not source._recordings.flags.writeable


def test_cameras_have_files_of_their_own_which_other_tools_read(data_dir):
    for camera in ("image_aux1", "image_main"):
        BairPush(camera=camera).load(data_dir)
    for camera in ("image_aux1", "image_main"):
        x = np.load(file_of(data_dir, "test", camera))
        np.testing.assert_array_equal(x, drawn(camera, "test"))


def test_a_file_that_is_cut_off_is_named(decoded_dir):
    path = file_of(decoded_dir)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 1)
    with pytest.raises(ValueError, match=r"image_aux1-train\.npy is damaged .*: delete the file"):
        BairPush().load(decoded_dir)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"image_aux1-train\.npy is damaged"):
        BairPush().load(decoded_dir)


def test_a_file_that_is_too_long_is_named(decoded_dir):
    with file_of(decoded_dir).open("ab") as file:
        file.write(b"x")
    with pytest.raises(ValueError, match=r"image_aux1-train\.npy is damaged \(it is longer"):
        BairPush().load(decoded_dir)


def test_a_foreign_file_is_named(decoded_dir):
    path = file_of(decoded_dir)
    for foreign, message in (
        (
            drawn("image_aux1", "train")[:3],
            r"train\.npy holds uint8 \(3, 30.* not the uint8 \(4,",
        ),
        (drawn("image_aux1", "train").astype(np.int8), r"train\.npy holds int8 \(4, 30"),
        (drawn("image_main", "train"), r"train\.npy does not begin with the first video"),
    ):
        np.save(path, foreign)
        with pytest.raises(ValueError, match=message):
            BairPush().load(decoded_dir)
    path.write_text("no array at all, but text")
    with pytest.raises(ValueError, match=r"image_aux1-train\.npy is damaged"):
        BairPush().load(decoded_dir)


def test_a_write_that_is_broken_off_leaves_nothing(data_dir, monkeypatch):
    def failing(self, builder, split):
        yield drawn("image_aux1", "train")[:2]
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(BairPush, "_decoded", failing)
        with pytest.raises(KeyboardInterrupt):
            BairPush().load(data_dir)
    assert not list(pathlib.Path(data_dir).rglob("*.npy*"))


def test_preparing_writes_the_files_of_a_camera_where_they_are_missing(data_dir, monkeypatch):
    said = prepare.prepare("bair_push", data_dir, options={"camera": "image_main"})
    assert "bair_push is already prepared" in said
    assert said.endswith(f"--config.network=dcgan64 --data_dir={data_dir}")
    names = {path.name for path in pathlib.Path(data_dir).rglob("*.npy*")}
    assert names == {"image_main-train.npy", "image_main-test.npy"}
    monkeypatch.setattr(_array_file, "write", None)
    assert prepare.prepare("bair_push", data_dir, options={"camera": "image_main"}) == said


def test_what_a_killed_writer_left_is_removed_and_what_another_writes_is_not(tmp_path):
    path = tmp_path / "x.npy"
    (tmp_path / "x.npy.abc.partial").write_bytes(b"left")
    (tmp_path / "y.npy.abc.partial").write_bytes(b"of another file")
    handle, living = _array_file._new_partial(path)
    rows = np.arange(15, dtype=np.uint8).reshape(5, 3)
    _array_file.write(path, [rows], (5, 3), "things")
    assert pathlib.Path(living).exists()
    os.close(handle)
    _array_file.write(path, [rows], (5, 3), "things")
    assert {f.name for f in tmp_path.iterdir()} == {"x.npy", "y.npy.abc.partial"}
    np.testing.assert_array_equal(_array_file.read(path, (5, 3)), rows)


def test_a_disk_without_room_is_said_before_anything_is_written(data_dir, monkeypatch):
    usage = tuple.__new__(type(_array_file.shutil.disk_usage("/")), (10**6, 10**6 - 5, 5))
    monkeypatch.setattr(_array_file.shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(OSError, match=r"train\.npy needs 0\.0 GB of disk, and 0\.0 are free"):
        BairPush().load(data_dir)
    assert not list(pathlib.Path(data_dir).rglob("*.npy*"))


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        ([np.zeros((2, 3), np.uint8)], "things: expected 5 rows, got 2"),
        ([np.zeros((3, 3), np.uint8)] * 2, "things: expected 5 rows, got 6"),
        ([np.zeros((5, 4), np.uint8)], r"things: expected uint8 rows \(3,\), got uint8 \(4,\)"),
        ([np.zeros((5, 3), np.int32)], "got int32"),
    ],
)
def test_blocks_that_do_not_make_up_the_array_are_refused(tmp_path, blocks, message):
    with pytest.raises(ValueError, match=message):
        _array_file.write(tmp_path / "x.npy", blocks, (5, 3), "things")
    assert not list(tmp_path.iterdir())


def test_missing_data_fail_at_once_and_say_what_they_weigh(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"fetches 32,275\.0 MB") as error:
        BairPush().load(str(tmp_path))
    message = str(error.value)
    assert ARCHIVE in message
    assert f"--dataset=bair_push --data_dir={tmp_path} --archives=DIR" in message
    assert "32.3 GB" in BairPush.__doc__
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("camera", ["front", None, True])
def test_other_cameras_are_refused(camera):
    with pytest.raises(ValueError, match=r"camera must be one of \['image_aux1', 'image_main'\]"):
        BairPush(camera=camera)
