import pathlib

import pytest
import tensorflow_datasets as tfds

from tests.cli._in_process import Command
from tf_sigma_vae.cli import prepare
from tf_sigma_vae.data import _tfds, _tfds_builders

DUMMY = pathlib.Path(_tfds_builders.__path__[0]) / "frey_face" / "dummy_data" / "frey_rawface.mat"


@pytest.fixture
def registered_dummy(monkeypatch, tmp_path):
    """Registers the dummy film's checksum in place of the real one's."""
    builder = type(_tfds.builder("frey_face", str(tmp_path)))
    (url,) = builder.url_infos
    info = tfds.download.checksums.compute_url_info(DUMMY)
    monkeypatch.setattr(builder, "url_infos", {url: info})


@pytest.mark.parametrize("archives", [DUMMY, DUMMY.parent])
def test_archives_are_placed_and_prepared(registered_dummy, tmp_path, archives):
    data_dir = str(tmp_path / "data")

    message = prepare.prepare("frey_face", data_dir, archives=str(archives))

    assert message.endswith(f"sigma-vae-train --dataset=frey_face --data_dir={data_dir}")
    placed = tmp_path / "data" / "downloads" / "manual" / "frey_face" / "frey_rawface.mat"
    assert placed.read_bytes() == DUMMY.read_bytes()
    assert _tfds.builder("frey_face", data_dir).is_prepared()


def test_preparing_twice_says_so_and_needs_no_archives(registered_dummy, tmp_path):
    prepare.prepare("frey_face", str(tmp_path), archives=str(DUMMY))
    assert "is already prepared" in prepare.prepare("frey_face", str(tmp_path))


def test_archives_placed_by_hand_need_no_flag(registered_dummy, tmp_path):
    folder = tmp_path / "downloads" / "manual"
    folder.mkdir(parents=True)
    (folder / DUMMY.name).write_bytes(DUMMY.read_bytes())
    assert "frey_face is prepared" in prepare.prepare("frey_face", str(tmp_path))


def test_wrong_checksum_is_refused_before_anything_is_written(registered_dummy, tmp_path):
    bad = tmp_path / "bad" / DUMMY.name
    bad.parent.mkdir()
    content = DUMMY.read_bytes()
    bad.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(ValueError, match=r"frey_rawface\.mat is damaged.*sha256"):
        prepare.prepare("frey_face", str(tmp_path / "data"), archives=str(bad))
    assert not (tmp_path / "data").exists()


def test_wrong_size_is_told_with_both_sizes(tmp_path):
    size = f"{DUMMY.stat().st_size:,}"
    with pytest.raises(ValueError, match=f"it has {size} bytes, not 1,100,584"):
        prepare.prepare("frey_face", str(tmp_path / "data"), archives=str(DUMMY))
    assert not (tmp_path / "data").exists()


def test_missing_archives_are_all_named(tmp_path):
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(b"")
    with pytest.raises(FileNotFoundError) as error:
        prepare.prepare("mnist", str(tmp_path / "data"), archives=str(tmp_path))
    assert "train-labels-idx1" in str(error.value)
    assert "t10k-images-idx3" in str(error.value)
    assert "train-images-idx3" not in str(error.value)
    assert not (tmp_path / "data").exists()


def test_missing_folder_of_archives_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"--archives=.*nowhere does not exist"):
        prepare.prepare("mnist", str(tmp_path), archives=str(tmp_path / "nowhere"))


def test_unwritable_data_dir_is_told_before_anything_else(tmp_path):
    file = tmp_path / "file"
    file.write_bytes(b"")
    with pytest.raises(PermissionError, match=f"--data_dir={file}/data cannot be written to"):
        prepare.prepare("mnist", str(file / "data"), archives=str(tmp_path))


def test_neither_archives_nor_download_tells_what_to_get(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"mnist is not prepared[\s\S]*--archives=DIR"):
        prepare.prepare("mnist", str(tmp_path / "data"))
    assert not (tmp_path / "data").exists()


def test_archives_and_download_exclude_one_another(tmp_path):
    with pytest.raises(ValueError, match="give --archives or --download, not both"):
        prepare.prepare("mnist", str(tmp_path), archives=str(tmp_path), download=True)


@pytest.mark.parametrize("dataset", ["digits", "synthetic", "npz", "image_folder"])
def test_other_datasets_need_no_preparation(dataset):
    message = prepare.prepare(dataset)
    assert "needs no preparation" in message
    assert message.endswith(f"sigma-vae-train --dataset={dataset}")


@pytest.mark.parametrize("dataset", ["video_npz", "video_folder"])
def test_videos_of_ones_own_need_none_and_are_for_another_model(dataset):
    message = prepare.prepare(dataset)
    assert "needs no preparation" in message
    options = " --config.model=sequence_vae --config.network=dcgan64"
    assert message.endswith(f"sigma-vae-train --dataset={dataset}{options}")


def test_videos_made_of_images_are_prepared_from_these(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"moving_mnist is not prepared in .*mnist"
    ) as error:
        prepare.prepare("moving_mnist", str(tmp_path))
    assert "train-images-idx3-ubyte.gz" in str(error.value)
    assert f"--dataset=moving_mnist --data_dir={tmp_path} --archives=DIR" in str(error.value)


def test_options_are_read_as_python_writes_them_or_as_they_stand():
    found = prepare.options_of(["camera=image_main", "video_length=20", "path=a=b"])
    assert found == {"camera": "image_main", "video_length": 20, "path": "a=b"}
    with pytest.raises(ValueError, match="--option must be NAME=VALUE, got 'camera'"):
        prepare.options_of(["camera"])


@pytest.mark.parametrize(
    ("options", "message"),
    [({"camra": "image_main"}, "camra"), ({"camera": "front"}, "camera must be one of")],
)
def test_a_wrong_option_is_refused_before_anything_is_written(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        prepare.prepare("bair_push", str(tmp_path / "data"), options=options)
    assert not (tmp_path / "data").exists()


def test_unknown_dataset_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"unknown dataset 'minst'.*fashion_mnist.*mnist"):
        prepare.prepare("minst")


@pytest.fixture
def command(monkeypatch, capsys):
    return Command(monkeypatch, capsys, prepare)


def test_help_teaches_the_offline_way(command):
    assert command("--helpshort") in (0, 1)
    assert "--archives=DIR" in command.output
    assert "--[no]download" in command.output


def test_errors_of_the_command_are_one_message_and_no_traceback(command, tmp_path):
    assert command("--dataset=mnist", f"--data_dir={tmp_path / 'data'}") == 1
    assert "error: mnist is not prepared" in command.error
    assert "Traceback" not in command.error
