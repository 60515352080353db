"""A value that is not finite stops the run, is named, and leaves the last good checkpoint."""

import pathlib
import types

import numpy as np
import pytest

from tests.training._runs import Restarts, checkpoint_arrays, metric_lines, tiny_config, train
from tf_sigma_vae.training import NonFiniteError
from tf_sigma_vae.training.callbacks import WriteCheckpoints
from tf_sigma_vae.training.metrics_log import MetricsLog

FIXED = {"likelihood": "gaussian_fixed", "num_epochs": 1}


def break_weight(monkeypatch, step, layer, name, value=np.nan):
    """After a step, one number of one weight becomes `value`."""
    original = WriteCheckpoints.on_train_batch_end

    def then_break(self, batch, logs=None):
        original(self, batch, logs)
        if self.step == step:
            weights = getattr(self.model, layer).weights
            weight = next(w for w in weights if w.path.endswith(name))
            broken = weight.numpy()
            broken.flat[0] = value
            weight.assign(broken)

    monkeypatch.setattr(WriteCheckpoints, "on_train_batch_end", then_break)


def files(workdir):
    """Bytes of every file below a folder, but for the metrics."""
    paths = [path for path in pathlib.Path(workdir).rglob("*") if path.is_file()]
    return {str(p): p.read_bytes() for p in paths if p.name != "metrics.jsonl"}


@pytest.fixture(scope="module")
def model():
    return Restarts()


@pytest.fixture
def restarts(model, monkeypatch):
    return model.install(monkeypatch)


@pytest.mark.parametrize(
    ("layer", "name", "tensor"),
    [
        ("encoder", "head/bias", "posterior (loc|scale)"),
        ("decoder", "head/bias", r"decoder output \(params\)"),
    ],
)
def test_a_broken_weight_is_found_by_the_tensor_it_breaks(
    layer, name, tensor, tmp_path, restarts, monkeypatch
):
    with monkeypatch.context() as patch, pytest.raises(NonFiniteError) as caught:
        break_weight(patch, 4, layer, name)
        train(tiny_config(**FIXED), tmp_path)
    assert caught.match(f"training stopped at step 5: non-finite {tensor}")
    latest = tmp_path / "checkpoints" / "step-3"
    assert f"The last good checkpoint is '{latest}'" in str(caught.value)
    arrays = checkpoint_arrays(tmp_path)
    assert all(np.isfinite(a).all() for n, a in arrays.items() if n.startswith("weights"))
    assert not (tmp_path / "model.keras").exists()
    # The checkpoint is good: without the fault the run goes on from it to the end.
    train(tiny_config(**FIXED), tmp_path)
    assert (tmp_path / "model.keras").exists()


def test_a_broken_weight_is_not_written_at_the_end_of_an_epoch(tmp_path, restarts, monkeypatch):
    # No later step looks at it, and a scale of the likelihood is in none of the checked tensors.
    original = WriteCheckpoints.on_epoch_end
    before = {}

    def break_then_end(self, epoch, logs=None):
        before.update(files(tmp_path))
        kernel = self.model.decoder.weights[0]
        kernel.assign(np.full(kernel.shape, np.inf))
        original(self, epoch, logs)

    monkeypatch.setattr(WriteCheckpoints, "on_epoch_end", break_then_end)
    with pytest.raises(NonFiniteError, match="the weight .*decoder.* is not finite at step 7"):
        train(tiny_config(**FIXED), tmp_path)
    assert files(tmp_path) == before


@pytest.mark.slow
def test_of_several_steps_a_call_the_range_is_said(tmp_path, monkeypatch):
    break_weight(monkeypatch, 4, "decoder", "head/bias")
    with pytest.raises(NonFiniteError, match="stopped at one of the steps 5 to 7: non-finite dec"):
        train(tiny_config(**FIXED, steps_per_execution=4), tmp_path)


def test_metrics_that_are_not_finite_stop_the_run_and_are_not_written(tmp_path):
    # What is left where XLA drops the checks of a step.
    checkpoints = types.SimpleNamespace(last_good="The last good one", writes=True)
    log = MetricsLog(str(tmp_path / "metrics.jsonl"), checkpoints, every_steps=1)
    with pytest.raises(NonFiniteError, match=r"^loss, rate not finite by step 3 \(train\)\. The l"):
        log._write("train", 3, {"rate": np.inf, "elbo": -1.0, "loss": np.nan})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_under_xla_the_metrics_tell(tmp_path, monkeypatch):
    break_weight(monkeypatch, 2, "decoder", "head/bias")
    config = tiny_config(
        likelihood="gaussian_fixed",
        jit_compile=True,
        validation_fraction=0.0,
        num_train_steps=5,
        checkpoint_every_steps=1,
        log_every_steps=1,
    )
    with pytest.raises(NonFiniteError) as caught:
        train(config, tmp_path)
    assert caught.match(r"distortion, elbo, .*loss.* not finite by step 3 \(train\)")
    assert f"'{tmp_path / 'checkpoints' / 'step-2'}'" in str(caught.value)
    assert [line["step"] for line in metric_lines(tmp_path)] == [1, 2]
    arrays = checkpoint_arrays(tmp_path)
    assert all(np.isfinite(a).all() for n, a in arrays.items() if n.startswith("weights"))
