import pathlib

import pytest

from tf_sigma_vae.cli import _config_flag


def test_a_shipped_config_is_found_by_name_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in _config_flag.config_names():
        path = pathlib.Path(_config_flag.config_path(name))
        assert path.is_file()
        assert path.name == f"{name}.py"
        for spelling in (f"{name}.py", f"configs/{name}.py"):
            assert _config_flag.config_path(spelling) == str(path)


def test_a_file_goes_before_a_shipped_config_of_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mnist_vae").write_text("mine")
    assert _config_flag.config_path("mnist_vae") == "mnist_vae"


@pytest.mark.parametrize("name", ["absent", "absent.py", "elsewhere/mnist_vae.py", "", "_base"])
def test_an_unknown_config_is_refused_with_the_known_ones(name):
    with pytest.raises(FileNotFoundError) as caught:
        _config_flag.config_path(name)
    assert f"no config file {name!r}" in str(caught.value)
    assert "digits_vae, fashion_mnist_vae, frey_face_vae, mnist_vae" in str(caught.value)


def test_files_that_are_no_configs_are_not_listed(tmp_path, monkeypatch):
    for name in ("b_vae.py", "a_vae.py", "__init__.py", "_private.py", "notes.txt"):
        (tmp_path / name).write_text("")
    monkeypatch.setattr(_config_flag, "config_folders", lambda: [tmp_path, tmp_path / "absent"])
    assert _config_flag.config_names() == ["a_vae", "b_vae"]


@pytest.mark.parametrize(
    "argv",
    [
        ["--config=mnist_vae", "--config=svhn_vae", "--config.seed=1"],
        ["--config", "mnist_vae", "--config.seed=1", "--config", "svhn_vae"],
    ],
)
def test_the_last_of_several_configs_counts(argv):
    path = _config_flag.config_path("svhn_vae")
    found = _config_flag.with_config_path(["program", *argv])
    assert found == ["program", f"--config={path}", "--config.seed=1"]


def test_a_command_line_without_a_config_stays_as_it_is():
    argv = ["program", "--dataset=digits", "--config.seed=1"]
    assert _config_flag.with_config_path(argv) == argv
    assert _config_flag.with_config_path(["program", "--config"]) == ["program", "--config"]
