import json

import pytest

from tests.cli._in_process import TINY, Command
from tests.sweep import _fakes
from tf_sigma_vae.cli import sweep
from tf_sigma_vae.evaluation import measures
from tf_sigma_vae.training import NonFiniteError, Preempted

# ml_collections loads a config file with it.
pytestmark = pytest.mark.filterwarnings(r"ignore:the load_module\(\) method:DeprecationWarning")

FEW = ("--sweep=beta", "--betas=0.1,1", "--variants=gaussian_optimal", "--seeds=0,1,2")


@pytest.fixture
def command(monkeypatch, capsys):
    return Command(monkeypatch, capsys, sweep)


@pytest.fixture
def trainings(monkeypatch):
    return _fakes.Trainings(monkeypatch)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["--sweep=table4"],
            ["error: unknown sweep 'table4'; known: beta, decoders, decoders_cifar"],
        ),
        (["--sweep="], ["error: --sweep is needed: one of beta, decoders, decoders_cifar"]),
        (["--budget=large"], ["error: unknown budget 'large'; known: paper, short, smoke"]),
        (["--measures=fid"], ["unknown measure 'fid'; known: information, distances"]),
        (["--measures=distances"], ["needs an --extractor: inception_2015, ", "or a path"]),
        (
            ["--measures=distances", "--extractor=lost.keras"],
            ["--extractor=lost.keras is neither a file or folder, nor one of inception_2015"],
        ),
        (["--draw=both"], ["draw", "both"]),
        (["--distance_samples=0"], ["distance_samples must be at least 2, got 0"]),
        (["--seeds=1,1"], ["error: --seeds gives 1 twice"]),
        (["--seeds=one"], ["--seeds must be numbers with commas between", "'one'"]),
        (["--seeds="], ["--seeds is empty"]),
        (["--betas=-0.1"], ["must be positive and finite, got -0.1"]),
        (["--betas=a"], ["--betas must be numbers with commas between", "'a'"]),
        (["--variants=bernoulli"], ["no variant 'bernoulli'", "gaussian_optimal_per_image"]),
        (["--betas=", "--variants="], ["both --variants and --betas are empty"]),
        (["--variant=mse"], ["Unknown command line flag 'variant'"]),
        (["--seed=1"], ["Unknown command line flag 'seed'"]),
        (["--config.likelihood=mse"], ["--config.likelihood is set by the sweep itself"]),
        (["--config.likelihood_options.scale=1"], ["likelihood_options.scale is set by the sweep"]),
        (["--config.seed=1"], ["--config.seed is set by the sweep itself"]),
        (["--config.learnin_rate=1"], ["unknown config key 'learnin_rate'"]),
        (["--config=absent_vae"], ["no config file 'absent_vae'"]),
        (["--split=tset"], ["split", "tset"]),
        (["surplus"], ["unexpected arguments: surplus"]),
    ],
)
def test_what_makes_no_sense_is_refused_before_any_work(command, tmp_path, arguments, words):
    workdir = tmp_path / "sweep"
    assert command(*TINY, *FEW, f"--workdir={workdir}", *arguments) == 1
    for word in words:
        assert word in command.error
    assert not workdir.exists()


def test_a_workdir_is_needed(command):
    assert command(*TINY, *FEW) == 1
    assert "error: --workdir is needed" in command.error


def test_a_workdir_that_cannot_be_written_to_is_refused(command, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    assert command(*TINY, *FEW, f"--workdir={tmp_path / 'file'}") == 1
    assert "error: cannot write to" in command.error


def test_a_dry_run_shows_the_runs_and_writes_nothing(command, tmp_path):
    assert command(*TINY, *FEW, f"--workdir={tmp_path / 'sweep'}", "--dry_run") == 0
    assert "gaussian_optimal seed 2" in command.output
    # 18 images in batches of 8, 60 epochs.
    assert "9 runs of 60 epochs (180 steps of 8); 1,620 steps left in all" in command.output
    assert list(tmp_path.iterdir()) == []


def test_the_flags_reach_the_sweep(command, trainings, tmp_path):
    arguments = ["--num_examples=3", "--num_samples=2", "--split=train", "--seeds=4"]
    assert command(*TINY, *FEW, f"--workdir={tmp_path}", *arguments) == 0
    assert trainings.trained == ["beta=0.1-seed4", "beta=1-seed4", "gaussian_optimal-seed4"]
    assert "fewer than 3 seeds" in command.error
    text = (tmp_path / "table.md").read_text()
    assert "seed 4; evaluated on 3 train images" in text
    # The table itself, and where it is.
    assert "\n| beta-VAE, beta=0.1 | 1 |" in command.output
    assert f"wrote {tmp_path}/table.md\n" in command.output
    assert f"wrote {tmp_path}/rate_distortion.png\n" in command.output


SMOKE = ("--sweep=beta", "--betas=0.1", "--variants=", "--budget=smoke")


def stored_config(workdir, run="beta=0.1-seed1"):
    return json.loads((workdir / "runs" / run / "config.json").read_text())["config"]


def test_a_budget_sets_what_no_flag_does(command, trainings, tmp_path):
    assert command(*TINY, *SMOKE, f"--workdir={tmp_path}") == 0
    assert trainings.trained == ["beta=0.1-seed0", "beta=0.1-seed1"]
    config = stored_config(tmp_path)
    assert (config["num_train_steps"], config["log_every_steps"]) == (20, 2)
    # 256 images, cut to the 4 of the split.
    assert "trained for 20 steps of 8, seeds 0, 1; evaluated on 4 test" in command.output


def test_flags_go_before_the_budget(command, trainings, tmp_path):
    given = ["--config.num_epochs=3", "--seeds=1", "--num_examples=3"]
    assert command(*TINY, *SMOKE, f"--workdir={tmp_path}", *given) == 0
    config = stored_config(tmp_path)
    assert (config["num_train_steps"], config["num_epochs"]) == (None, 3)
    assert trainings.trained == ["beta=0.1-seed1"]
    assert "evaluated on 3 test images" in command.output


def test_a_workdir_of_another_budget_is_refused(command, trainings, tmp_path):
    assert command(*TINY, *SMOKE, f"--workdir={tmp_path}") == 0
    assert command(*TINY, *SMOKE, f"--workdir={tmp_path}", "--budget=short") == 1
    assert "num_train_steps: 20 there, None now" in command.error


def test_figure_4_is_measured_for_information(command, trainings, tmp_path):
    few = [argument for argument in TINY if "num_test" not in argument]
    given = [*few, "--config.dataset_options.num_test=40", "--sweep=figure4", "--betas=0.1"]
    given += ["--variants=", "--seeds=0"]
    assert command(*given, f"--workdir={tmp_path}") == 0
    assert trainings.measured == [("beta=0.1-seed0", "information")]
    assert command(*given, f"--workdir={tmp_path}", "--measures=", "--dry_run") == 0


def test_a_dry_run_of_distances_loads_no_network(command, tmp_path):
    given = ["--measures=distances", "--extractor=inception_2015", "--dry_run"]
    larger = ["--config.dataset_options.num_test=30"]
    few = [argument for argument in TINY if "num_test" not in argument]
    assert command(*few, *larger, *SMOKE, f"--workdir={tmp_path}", *given) == 0
    assert "beta=0.1 seed 1" in command.output


def test_where_the_network_cannot_be_downloaded_two_ways_out_are_told(
    command, monkeypatch, tmp_path
):
    def fail(name, path):
        raise ConnectionError(f"cannot download {name}")

    monkeypatch.setattr(measures, "extractor", fail)
    given = ["--measures=distances", "--extractor=inception_2015"]
    larger = ["--config.dataset_options.num_test=30"]
    few = [argument for argument in TINY if "num_test" not in argument]
    assert command(*few, *larger, *SMOKE, f"--workdir={tmp_path}", *given) == 1
    for words in ("cannot download inception_2015", "--extractor_path=FILE", "--extractor=PATH"):
        assert words in command.error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_three_seeds_are_enough(command, trainings, tmp_path):
    assert command(*TINY, *FEW, f"--workdir={tmp_path}") == 0
    assert "warning" not in command.error


def test_a_sweep_asked_to_stop_says_so_and_exits_with_its_code(command, trainings, tmp_path):
    trainings.failure["beta=1-seed0"] = Preempted("stopped by SIGTERM at step 3")
    assert command(*TINY, *FEW, f"--workdir={tmp_path}") == 42
    assert "stopped by SIGTERM at step 3" in command.output
    assert trainings.trained == ["beta=0.1-seed0"]


@pytest.mark.slow
def test_a_run_that_diverged_makes_the_exit_code_1(command, trainings, tmp_path):
    trainings.failure["beta=1-seed1"] = NonFiniteError("non-finite rate")
    assert command(*TINY, *FEW, f"--workdir={tmp_path}") == 1
    assert "error: 1 run(s) failed: beta=1 seed 1: non-finite rate" in command.error
    assert len(trainings.trained) == 8


def test_help_teaches_by_examples(command):
    assert command("--helpshort") in (0, 1)
    shown = " ".join(command.output.split())
    for words in ("sigma-vae-sweep --config=mnist_vae --sweep=table3", "--seeds=3,4", "Table 2"):
        assert words in shown
    for flag in ("--sweep", "--seeds", "--betas", "--variants", "--num_samples", "--dataset"):
        assert flag in shown
    assert "--variant:" not in shown
