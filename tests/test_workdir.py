import dataclasses
import json
import os
import pathlib

import pytest

from tf_sigma_vae import workdir as workdir_lib
from tf_sigma_vae.config import Config
from tf_sigma_vae.workdir import Workdir, WorkdirError, write_atomically


def contents(folder):
    """Bytes of every file below a folder, by path."""
    files = [path for path in pathlib.Path(folder).rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def prepared(path, **changes):
    """A workdir that holds the configuration of a run."""
    workdir = Workdir(path)
    workdir.prepare(Config(**changes), "data")
    return workdir


def test_a_written_file_has_the_text_and_nothing_is_left_beside_it(tmp_path):
    file = tmp_path / "file.txt"
    write_atomically(str(file), "old")
    write_atomically(str(file), "new ü")
    assert file.read_text(encoding="utf-8") == "new ü"
    assert os.listdir(tmp_path) == ["file.txt"]
    assert file.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("broken", ["fsync", "replace", "chmod"])
def test_a_write_that_fails_leaves_the_old_content_alone(broken, tmp_path, monkeypatch):
    file = tmp_path / "file.txt"
    write_atomically(str(file), "old")

    def fail(*args):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(workdir_lib.os, broken, fail)
        with pytest.raises(OSError, match="No space left"):
            write_atomically(str(file), "new")
    assert contents(tmp_path) == {"file.txt": b"old"}


def test_the_files_have_the_names_that_users_rely_on(tmp_path):
    workdir = Workdir(tmp_path / "run")
    names = {
        "config_file": "config.json",
        "metrics_file": "metrics.jsonl",
        "checkpoints": "checkpoints",
        "model_file": "model.keras",
        "evaluation_file": "evaluation.json",
        "samples": "samples",
        "tensorboard": "tensorboard",
    }
    for attribute, name in names.items():
        assert getattr(workdir, attribute) == str(tmp_path / "run" / name)
    assert not (tmp_path / "run").exists()


def test_a_prepared_workdir_gives_its_configuration_back(tmp_path):
    config = Config(latent_size=3, network_options={"hidden_sizes": (8,)}, num_train_steps=4)
    workdir = Workdir(tmp_path / "a" / "run")
    workdir.prepare(config, "where")
    assert workdir.read_config() == (config, "where")
    assert sorted(os.listdir(workdir.path)) == ["checkpoints", "config.json"]


@pytest.mark.parametrize("changes", [{}, {"network_options": {"hidden_sizes": (8,)}}])
def test_the_same_configuration_may_go_on(tmp_path, changes):
    workdir = prepared(tmp_path, **changes)
    workdir.prepare(Config(**changes), "elsewhere")
    assert workdir.read_config() == (Config(**changes), "elsewhere")


@pytest.mark.parametrize("name", ["file", "file/run"])
def test_a_file_in_the_way_is_named(tmp_path, name):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(WorkdirError, match=f"cannot write to the workdir '{tmp_path / name}'"):
        prepared(tmp_path / name)
    assert contents(tmp_path) == {"file": b"mine"}


def test_a_file_in_place_of_the_checkpoints_is_named(tmp_path):
    (tmp_path / "checkpoints").write_text("mine")
    with pytest.raises(WorkdirError, match="cannot write to the workdir .*checkpoints"):
        prepared(tmp_path)
    assert contents(tmp_path) == {"checkpoints": b"mine"}


def test_a_folder_that_is_not_writable_is_named(tmp_path, monkeypatch):
    # Permissions do not stop root, so the system's answer is made up.
    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(workdir_lib.tempfile, "mkstemp", refuse)
    with pytest.raises(WorkdirError, match="cannot write to the workdir .*Permission denied"):
        prepared(tmp_path)


def test_another_configuration_is_refused_and_the_differences_are_named(tmp_path):
    workdir = prepared(tmp_path, beta=1.0, latent_size=4)
    before = contents(tmp_path)
    with pytest.raises(WorkdirError) as caught:
        workdir.prepare(Config(beta=2.0, latent_size=5), "elsewhere")
    message = str(caught.value)
    assert "(latent_size: 4 there, 5 now; beta: 1.0 there, 2.0 now)" in message
    assert "Take another --workdir" in message
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    "name", [f.name for f in dataclasses.fields(Config) if f.name not in ("num_epochs",)]
)
def test_a_change_of_any_field_but_the_length_is_refused(tmp_path, name):
    if name == "num_train_steps":
        changed = Config(num_train_steps=3, learning_rate_schedule="cosine")
        workdir = prepared(tmp_path, learning_rate_schedule="cosine")
    else:
        value = getattr(Config(), name)
        others = {bool: lambda: not value, dict: lambda: {"a": 1}, str: lambda: "other"}
        others |= {int: lambda: value + 1, float: lambda: value / 2 + 0.25}
        choices = dataclasses.fields(Config)
        limits = next(f.metadata for f in choices if f.name == name)
        other = limits["one_of"][-1] if "one_of" in limits else others[type(value)]()
        workdir, changed = prepared(tmp_path), Config(**{name: other})
    with pytest.raises(WorkdirError, match=rf"another configuration \({name}: "):
        workdir.prepare(changed, None)


@pytest.mark.parametrize("length", [{"num_epochs": 20}, {"num_train_steps": 9}])
def test_a_run_may_be_made_longer_if_its_learning_rate_does_not_depend_on_that(tmp_path, length):
    workdir = prepared(tmp_path / "constant")
    workdir.prepare(Config(**length), None)
    assert workdir.read_config()[0] == Config(**length)
    cosine = {"learning_rate_schedule": "cosine"}
    workdir = prepared(tmp_path / "cosine", **cosine)
    with pytest.raises(WorkdirError, match=next(iter(length))):
        workdir.prepare(Config(**length, **cosine), None)


def test_a_folder_without_a_run_is_not_a_workdir(tmp_path):
    with pytest.raises(FileNotFoundError, match="is not the workdir of a run: it holds no config"):
        Workdir(tmp_path).read_config()


GOOD = {"config": Config().to_dict(), "data_dir": None}


@pytest.mark.parametrize(
    "text",
    [
        "",
        json.dumps(GOOD)[:-5],
        "[]",
        "null",
        json.dumps({"config": GOOD["config"]}),
        json.dumps({"config": 3, "data_dir": None}),
        json.dumps({"config": {"latent_size": "many"}, "data_dir": None}),
        json.dumps({"config": {"of_the_future": 1}, "data_dir": None}),
        "\x00" * 20,
    ],
)
def test_a_corrupt_configuration_is_named_and_left_alone(tmp_path, text):
    file = tmp_path / "config.json"
    file.write_text(text)
    for use in (lambda w: w.read_config(), lambda w: w.prepare(Config(), None)):
        with pytest.raises(WorkdirError, match=f"'{file}' is corrupt: "):
            use(Workdir(tmp_path))
    assert contents(tmp_path) == {"config.json": text.encode()}


def test_a_path_is_replaced_when_its_file_is_complete(tmp_path):
    path = tmp_path / "model.keras"
    path.write_text("old")
    with workdir_lib.atomic_path(str(path)) as temporary:
        assert temporary.endswith(".keras") and os.path.dirname(temporary) == str(tmp_path)
        pathlib.Path(temporary).write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    with pytest.raises(KeyError), workdir_lib.atomic_path(str(path)) as temporary:
        pathlib.Path(temporary).write_text("half")
        raise KeyError
    assert path.read_text() == "new"
    assert [found.name for found in tmp_path.iterdir()] == ["model.keras"]
