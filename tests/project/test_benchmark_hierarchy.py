"""The benchmark of the hierarchy measures what it says."""

import pytest

from benchmarks import _hierarchy, hierarchy

MIB = 2**20


def facts(step, peak):
    times = {"clock": 2.0 * step, "processors": step}
    return {"build": times, "first": times, "steps": [times, times], "peak": peak}


def cases():
    return {
        ("kept", 8): [facts(2.0, 1000 * MIB), facts(4.0, 900 * MIB)],
        ("rematerialized", 8): [facts(3.0, 800 * MIB)],
        ("kept", 16): [facts(4.0, 1400 * MIB)],
        ("rematerialized", 16): [facts(5.0, 840 * MIB)],
    }


def test_memory_an_image_is_the_slope_between_two_batches():
    text = hierarchy.table(cases())
    assert "kept: 50.0 MiB an image" in text
    assert "rematerialized: 5.0 MiB an image" in text


def test_a_case_shows_the_median_step_and_the_largest_peak():
    line = next(text for text in hierarchy.table(cases()).splitlines() if "batch 8, kept" in text)
    assert line.split()[3:] == ["6.00", "6.00", "6.00", "3.00", "1000"]


def test_the_time_of_rematerialization_is_of_the_larger_batch():
    assert "a step takes 1.25 times as long" in hierarchy.table(cases())


@pytest.mark.parametrize("wrong", [["8"], ["8", "8"], ["0", "8"]])
def test_one_batch_size_has_no_slope(wrong, capsys):
    with pytest.raises(SystemExit):
        hierarchy.parse_args(["--batch_sizes", *wrong])
    assert "must be two sizes or more" in capsys.readouterr().err


def test_a_missing_config_is_named(capsys):
    with pytest.raises(SystemExit):
        hierarchy.parse_args(["--config=nowhere.py"])
    assert "must be a config file, got 'nowhere.py'" in capsys.readouterr().err


@pytest.mark.slow
def test_a_small_hierarchy_is_measured(tmp_path):
    config = tmp_path / "tiny.py"
    config.write_text(
        "from tf_sigma_vae.config import base\n"
        "def get_config():\n"
        "    config = base()\n"
        "    config.model, config.network = 'hierarchical_vae', 'ladder32'\n"
        "    config.latent_size = 3\n"
        "    config.network_options = {'channels': 4, 'latents': [[4, 1], [1, 1]],\n"
        "                              'latent_channels': 2, 'num_blocks': 1}\n"
        "    return config\n"
    )
    said = _hierarchy.main(str(config), 2, True, 2)
    assert said["num_levels"] == 2
    # A vector of 3, and 4x4 pixels of two channels from each direction.
    assert said["latent_size"] == 3 + 4 * 4 * 4
    assert len(said["steps"]) == 2
    assert all(set(step) == {"clock", "processors"} for step in said["steps"])
    assert min(said["before"], said["peak"]) > 0
