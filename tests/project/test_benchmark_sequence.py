"""The benchmark of the sequence model measures what it says."""

import pytest

from benchmarks import _sequence, sequence

MIB = 2**20
CONFIG = (
    "from tf_sigma_vae.config import base\n"
    "def get_config():\n"
    "    config = base()\n"
    "    config.dataset, config.model, config.network = 'moving_mnist', 'sequence_vae', 'dcgan64'\n"
    "    config.dataset_options = {'image_size': 16}\n"
    "    config.network_options = {'width': 4}\n"
    "    config.model_options = {'feature_size': 8, 'lstm_units': 6}\n"
    "    config.latent_size = 3\n"
    "    return config\n"
)


def facts(step, peak, num_nodes, rollouts=()):
    times = {"clock": 2.0 * step, "processors": step}
    return {
        "build": times,
        "first": times,
        "trace": times,
        "steps": [times, times],
        "peak": peak,
        "num_nodes": num_nodes,
        "rollouts": rollouts,
    }


def rolled(traced, eager, num_copies=10):
    first = {"traced": 7.0, "eager": 8.0}
    return {"num_copies": num_copies, "first": first, "traced": traced, "eager": eager}


def cases():
    rollouts = [rolled([0.2, 0.4, 0.6], [0.8])], [rolled([0.4], [0.8])]
    return {
        (4, 12): [
            facts(2.0, 1000 * MIB, 4000, rollouts[0]),
            facts(4.0, 900 * MIB, 4000, rollouts[1]),
        ],
        (4, 30): [facts(6.0, 1400 * MIB, 4100)],
        (8, 12): [facts(9.0, 840 * MIB, 9999, [rolled([0.5], [1.5])])],
        (8, 30): [facts(9.0, 840 * MIB, 9999)],
    }


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "tiny.py"
    path.write_text(CONFIG)
    return str(path)


def test_a_case_shows_the_median_times_the_largest_peak_and_the_nodes():
    lines = sequence.table(cases()).splitlines()
    line = next(text for text in lines if text.startswith("batch 4, 12 frames"))
    assert line.split()[4:] == ["6.00", "6.00", "6.00", "6.00", "3.00", "1000", "4,000"]


def test_growth_is_between_the_shortest_and_the_longest_clips_of_the_smallest_batch():
    text = sequence.table(cases())
    assert "30 frames for 12: 1.025 times the nodes, 2.00 times the trace time" in text
    one_length = {case: rounds for case, rounds in cases().items() if case[1] == 12}
    assert "times the nodes" not in sequence.table(one_length)


def test_rollouts_are_timed_a_frame_and_against_single_steps():
    lines = sequence.rollout_table(cases(), horizon=8).splitlines()
    assert len(lines) == 3
    assert lines[1].split()[:4] == ["4", "clips", "x", "10"]
    # 0.4 s for 8 frames of 40 rollouts.
    assert lines[1].split()[4:] == ["7.00", "0.40", "50.00", "1.25", "2.00"]
    assert lines[2].split()[4:] == ["7.00", "0.50", "62.50", "0.78", "3.00"]


def test_frames_are_those_of_the_dataset_or_must_be_given(config, tmp_path, capsys):
    assert sequence.parse_args([f"--config={config}"]).frame == (16, 16, 1)
    given = sequence.parse_args([f"--config={config}", "--frame", "32", "48", "3"])
    assert given.frame == (32, 48, 3)
    own = tmp_path / "own.py"
    own.write_text(CONFIG.replace("moving_mnist", "video_npz"))
    with pytest.raises(SystemExit):
        sequence.parse_args([f"--config={own}"])
    assert "--frame is needed: dataset 'video_npz'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (["--config=nowhere.py"], "must be a config file, got 'nowhere.py'"),
        (["--batch_sizes", "0", "4"], "--batch_sizes must be at least 1, got [0, 4]"),
        (["--horizon=0"], "--horizon must be at least 1, got 0"),
    ],
)
def test_what_cannot_be_measured_is_named(config, wrong, message, capsys):
    with pytest.raises(SystemExit):
        sequence.parse_args([f"--config={config}", *wrong])
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_a_small_model_is_measured_and_longer_clips_do_not_grow_its_graph(config):
    """What the clock and the memory say is the machine's: only that it is there is tested."""
    case = _sequence.Case(config, (16, 16, 1), 2, 4, 2, num_copies=(2,), horizon=3, num_rollouts=2)
    short, long = (
        _sequence.main(case),
        _sequence.main(case._replace(num_frames=9, num_steps=0, num_copies=())),
    )
    # Unrolled, each of the five more frames would add a step's nodes, a third of these or so.
    assert 1000 < long["num_nodes"] < 1.05 * short["num_nodes"]
    assert (len(short["steps"]), len(long["steps"])) == (2, 0)
    for times in (short["build"], short["first"], short["trace"], *short["steps"]):
        assert set(times) == {"clock", "processors"}
    assert min(short["before"], short["peak"]) > 0
    (rollouts,) = short["rollouts"]
    assert rollouts["num_copies"] == 2
    assert len(rollouts["traced"]) == len(rollouts["eager"]) == 2
    assert long["rollouts"] == []
