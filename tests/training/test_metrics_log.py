import json
import math

import numpy as np
import pytest

from tests.training._runs import STEPS_PER_EPOCH, Restarts, metric_lines, tiny_config, train
from tf_sigma_vae.training import metrics_log
from tf_sigma_vae.training.callbacks import WriteCheckpoints

FLOAT32 = 1e-5
"""Relative; a mean over some tens of float32."""
SUM = {"rel": 1e-4, "abs": 1e-4}
"""Sums of such means, of some tens of nats, which may come close to 0."""
NAMES = {"elbo", "rate", "distortion", "loss", "log_scale", "beta_equivalent", "bits_per_dim"}


def line(step, end="\n"):
    return json.dumps({"step": step, "split": "train", "elbo": -1.5}) + end


@pytest.mark.parametrize(
    "tail",
    [
        "",
        line(5),
        line(5) + line(6),
        line(5) + line(6)[:-1],
        line(5) + line(6)[:10],
        line(6)[:1],
        "\x00\x00\x00",
        "[1, 2]\n",
        '"step"\n{}\n',
    ],
)
def test_rewinding_drops_torn_lines_and_those_past_the_step(tmp_path, tail):
    file = tmp_path / "metrics.jsonl"
    file.write_text(line(2) + line(4) + tail)
    metrics_log.rewind(str(file), 4)
    assert file.read_text() == line(2) + line(4)
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_a_line_that_lost_its_end_gets_it_back(tmp_path):
    # The next one would else be written onto it.
    file = tmp_path / "metrics.jsonl"
    file.write_text(line(2) + line(4, end=""))
    metrics_log.rewind(str(file), 4)
    assert file.read_text() == line(2) + line(4)


def test_rewinding_to_the_start_empties_the_file(tmp_path):
    file = tmp_path / "metrics.jsonl"
    file.write_text(line(2))
    metrics_log.rewind(str(file), 0)
    assert file.read_text() == ""


def test_rewinding_no_file_makes_none(tmp_path):
    metrics_log.rewind(str(tmp_path / "metrics.jsonl"), 4)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of 10 steps, which end within the second epoch, then lengthened to 17 (of 14 + 3)."""
    folder = tmp_path_factory.mktemp("run")
    records = []
    with pytest.MonkeyPatch.context() as patch:
        Restarts().install(patch)
        original = WriteCheckpoints.on_train_batch_end

        def record(self, batch, logs=None):
            totals = self.checkpoints.totals().tolist()
            records.append((int(self.model.optimizer.iterations), totals))
            original(self, batch, logs)

        patch.setattr(WriteCheckpoints, "on_train_batch_end", record)
        changes = {"likelihood": "gaussian_optimal", "beta": 2.0, "log_every_steps": 3}
        model = train(tiny_config(num_train_steps=10, **changes), folder)
        first = metric_lines(folder)
        train(tiny_config(num_train_steps=17, **changes), folder)
    names = [metric.name for metric in model.metrics]
    return {"folder": folder, "first": first, "records": records, "names": names}


def test_lines_are_written_as_asked_and_at_the_end_of_every_epoch_and_of_the_training(run):
    steps = [(item["step"], item["split"]) for item in run["first"]]
    train_steps = [3, 6, 7, 9, 10]
    assert [step for step, split in steps if split == "train"] == train_steps
    assert [step for step, split in steps if split == "validation"] == [7, 10]
    assert steps == sorted(steps)


def test_a_longer_training_goes_on_with_the_lines_of_the_shorter(run):
    lines = metric_lines(run["folder"])
    assert lines[: len(run["first"])] == run["first"]
    later = [(item["step"], item["split"]) for item in lines[len(run["first"]) :]]
    expected = [(12, "train"), (14, "train"), (14, "validation"), (15, "train"), (17, "train")]
    assert later == [*expected, (17, "validation")]


def test_a_line_holds_the_means_over_the_examples_since_the_line_before(run):
    totals = dict(run["records"])  # by step, since the start of the epoch
    position = 2 * run["names"].index("elbo")
    lines = metric_lines(run["folder"], "train")
    before = 0
    for item in lines:
        step = item["step"]
        start = totals[before] if before % STEPS_PER_EPOCH else np.zeros(100)
        total, count = (totals[step][position + i] - start[position + i] for i in range(2))
        # Batches of 8, the last one of an epoch of 6.
        assert count == 8 * (step - before) - (2 if step % STEPS_PER_EPOCH == 0 else 0)
        assert item["elbo"] == pytest.approx(total / count, rel=FLOAT32)
        before = step


def test_the_figures_of_a_line_belong_together(run):
    for item in metric_lines(run["folder"]):
        assert item.keys() - {"step", "split"} == NAMES
        assert item["elbo"] == pytest.approx(-(item["rate"] + item["distortion"]), **SUM)
        expected = item["distortion"] + 2.0 * item["rate"]
        assert item["loss"] == pytest.approx(expected, **SUM)
        scale = math.exp(item["log_scale"])
        # beta_equivalent is 2 scale^2, times the explicit beta.
        assert item["beta_equivalent"] == pytest.approx(2.0 * 2.0 * scale**2, rel=1e-3)


def test_a_history_is_read_without_the_line_that_a_kill_cut_off(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1, "split": "train", "elbo": 2.0}\n{"step": 2, "spl', "utf-8")
    assert metrics_log.read(path) == [{"step": 1, "split": "train", "elbo": 2.0}]
    assert metrics_log.read(tmp_path / "absent") == []
