"""What a sweep trains, evaluates, keeps and refuses; with runs that cost nothing."""

import json

import pytest

from tests.sweep import _fakes
from tf_sigma_vae.sweep import Protocol
from tf_sigma_vae.training import NonFiniteError, Preempted
from tf_sigma_vae.workdir import WorkdirError

ROWS = ["beta=0.1", "beta=1", "gaussian_optimal"]
REPORT = {"results.csv", "table.csv", "table.md", "rate_distortion.png"}


@pytest.fixture
def trainings(monkeypatch):
    return _fakes.Trainings(monkeypatch)


def test_the_first_seed_gives_a_whole_table(trainings, tmp_path):
    _fakes.sweep(tmp_path, seeds=[5, 2]).run()
    assert trainings.trained == [f"{row}-seed{seed}" for seed in (5, 2) for row in ROWS]


def test_the_grid_is_also_evaluated_where_its_best_is_chosen(trainings, tmp_path):
    _fakes.sweep(tmp_path).run()
    assert trainings.evaluated == [
        ("beta=0.1-seed0", "validation"),
        ("beta=0.1-seed0", "test"),
        ("beta=1-seed0", "validation"),
        ("beta=1-seed0", "test"),
        ("gaussian_optimal-seed0", "test"),
    ]


def test_without_a_validation_split_only_the_asked_one_is_evaluated(trainings, tmp_path):
    _fakes.sweep(tmp_path, config=_fakes.config(validation_fraction=0.0)).run()
    assert {split for _, split in trainings.evaluated} == {"test"}


def test_a_run_is_a_workdir_with_its_configuration(trainings, tmp_path):
    sweep = _fakes.sweep(tmp_path, seeds=[3])
    sweep.run()
    stored = json.loads((tmp_path / "runs" / "beta=1-seed3" / "config.json").read_text())["config"]
    expected = {"likelihood": "gaussian_fixed", "likelihood_options": {"scale": 0.5**0.5}}
    assert stored == {**_fakes.config().to_dict(), **expected, "seed": 3}
    protocol = json.loads((tmp_path / "runs" / "beta=1-seed3" / "evaluation.json").read_text())
    assert protocol["protocol"]["num_examples"] == _fakes.NUM_TEST


def test_a_finished_sweep_trains_nothing_and_writes_the_same(trainings, tmp_path, capsys):
    _fakes.sweep(tmp_path).run()
    texts = {name: (tmp_path / name).read_bytes() for name in REPORT}
    for name in REPORT:
        (tmp_path / name).unlink()
    trainings.trained.clear(), trainings.evaluated.clear()
    capsys.readouterr()
    assert _fakes.sweep(tmp_path).run() == []
    assert (trainings.trained, trainings.evaluated) == ([], [])
    assert {name: (tmp_path / name).read_bytes() for name in REPORT} == texts
    assert "[2/3] beta=1 seed 0: done already" in capsys.readouterr().out


def test_seeds_and_betas_are_added_to_what_is_there(trainings, tmp_path):
    _fakes.sweep(tmp_path).run()
    trainings.trained.clear()
    added = _fakes.sweep(tmp_path, seeds=[1], betas=[0.5])
    assert added.seeds() == [0, 1]
    added.run()
    assert trainings.trained == ["beta=0.5-seed1", "gaussian_optimal-seed1"]
    lines = (tmp_path / "results.csv").read_text().splitlines()[1:]
    assert [line.split(",")[0:4:3] for line in lines] == [
        ["beta=0.1", "0"],
        ["beta=0.5", "1"],
        ["beta=1", "0"],
        ["gaussian_optimal", "0"],
        ["gaussian_optimal", "1"],
    ]


@pytest.mark.slow
def test_another_protocol_evaluates_again_and_trains_nothing(trainings, tmp_path):
    _fakes.sweep(tmp_path).run()
    trainings.trained.clear(), trainings.evaluated.clear()
    _fakes.sweep(tmp_path, protocol=Protocol(num_examples=3, num_samples=2)).run()
    assert trainings.trained == []
    assert trainings.evaluated == [(f"{row}-seed0", "test") for row in ROWS]
    assert "evaluated on 3 test images" in (tmp_path / "table.md").read_text()


def test_tables_are_written_after_each_run(trainings, tmp_path):
    trainings.failure["beta=1-seed0"] = Preempted("stopped at step 3")
    with pytest.raises(Preempted, match="42"):
        _fakes.sweep(tmp_path).run()
    assert len((tmp_path / "results.csv").read_text().splitlines()) == 2
    assert {path.name for path in tmp_path.iterdir()} == {*REPORT, "runs"}


def test_a_run_that_diverges_does_not_stop_the_others(trainings, tmp_path):
    trainings.failure["beta=1-seed0"] = NonFiniteError("non-finite rate at step 2")
    failures = _fakes.sweep(tmp_path).run()
    assert failures == ["beta=1 seed 0: non-finite rate at step 2"]
    assert trainings.trained == ["beta=0.1-seed0", "gaussian_optimal-seed0"]
    text = (tmp_path / "table.md").read_text()
    assert "- Not in the table: beta=1 seed 0: non-finite rate at step 2" in text
    assert "| beta-VAE, beta=0.1 |" in text


def test_a_changed_configuration_is_refused_before_any_work(trainings, tmp_path):
    _fakes.sweep(tmp_path, betas=[]).run()
    trainings.trained.clear()
    # Not even a longer training: the rows of a table have the same budget.
    changed = {"config": _fakes.config(num_epochs=3)}
    with pytest.raises(WorkdirError, match="num_epochs: 2 there, 3 now"):
        _fakes.sweep(tmp_path, **changed)
    # Nor another seed: it would stand in a table with the runs that are there.
    with pytest.raises(WorkdirError, match="gaussian_optimal-seed0.*num_epochs: 2 there, 3 now"):
        _fakes.sweep(tmp_path, seeds=[1], betas=[], **changed)
    assert trainings.trained == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"beta": 2.0}, "weight of the rate is 1"),
        ({"early_stopping_patience": 1}, "one budget"),
        ({"dataset": "video_npz"}, "a sweep takes images, and dataset 'video_npz' is of videos"),
    ],
)
def test_what_would_make_rows_unlike_is_refused(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        _fakes.sweep(tmp_path, config=_fakes.config(**changes))


def test_the_plan_says_what_is_done_and_what_is_left(trainings, tmp_path):
    _fakes.sweep(tmp_path, betas=[0.1], variants=[]).run()
    (tmp_path / "runs" / "beta=0.1-seed0" / "evaluation.json").unlink()
    _fakes.sweep(tmp_path, betas=[1.0], variants=[]).run()
    lines = [line.split() for line in _fakes.sweep(tmp_path).plan().splitlines()]
    assert lines[1:4] == [
        ["beta=0.1", "seed", "0", "beta=0.1", "to", "be", "evaluated", "0"],
        ["beta=1", "seed", "0", "beta=1", "done", "0"],
        ["gaussian_optimal", "seed", "0", "gaussian_optimal", "to", "do", "6"],
    ]
    assert " ".join(lines[4]) == "3 runs of 2 epochs (6 steps of 8); 6 steps left in all"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"study": "table4"}, "unknown sweep 'table4'"),
        ({"seeds": [0, 0]}, "--seeds gives 0 twice"),
        ({"seeds": [-1]}, "config.seed must be at least 0, got -1"),
        ({"betas": [-1.0]}, "must be positive and finite, got -1"),
        ({"protocol": Protocol(split="tset")}, "unknown split 'tset'"),
        ({"protocol": Protocol(num_examples=-1)}, "num_examples must not be negative"),
        ({"protocol": Protocol(num_examples=8)}, "the test split of synthetic has 7 images"),
        ({"protocol": Protocol(num_samples=-1)}, "num_samples must not be negative"),
        ({"config": _fakes.config(beta=2.0)}, "config.beta is 2, but in a sweep"),
        ({"config": _fakes.config(network="conv82")}, "^unknown network 'conv82'"),
        ({"strategy_name": "all"}, "unknown strategy 'all'"),
        ({"strategy_name": "tpu"}, "strategy 'tpu': a sweep trains run after run in one process"),
        (
            {
                "protocol": Protocol(split="validation"),
                "config": _fakes.config(validation_fraction=0.0),
            },
            "no validation split",
        ),
        (
            {
                "study": "decoders",
                "variants": ["categorical", "bitwise_categorical", "gaussian_optimal"],
                "config": _fakes.config(dequantize=True),
            },
            "2 of the rows \\(categorical: .*dequantize.*; bitwise_categorical: ",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_before_any_work(tmp_path, given, message):
    with pytest.raises(ValueError, match=message):
        _fakes.sweep(tmp_path / "sweep", **given)
    assert list(tmp_path.iterdir()) == []


def test_a_workdir_that_cannot_be_written_to_is_refused(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(PermissionError, match="cannot write to"):
        _fakes.sweep(tmp_path / "file" / "sweep")


def test_missing_data_are_missed_before_any_work(tmp_path):
    lost = _fakes.config(dataset="npz", dataset_options={"path": str(tmp_path / "lost.npz")})
    with pytest.raises(FileNotFoundError, match="lost.npz"):
        _fakes.sweep(tmp_path / "sweep", config=lost)
    assert list(tmp_path.iterdir()) == []


def test_a_cluster_in_the_environment_is_refused(tmp_path, monkeypatch):
    cluster = {"worker": ["localhost:1", "localhost:2"]}
    task = {"type": "worker", "index": 0}
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster, "task": task}))
    with pytest.raises(ValueError, match="strategy 'multi_worker': a sweep trains run after run"):
        _fakes.sweep(tmp_path)
