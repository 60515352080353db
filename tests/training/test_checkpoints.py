import collections
import functools
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from tests._models import set_weights, tiny_vae
from tf_sigma_vae.config import Config
from tf_sigma_vae.training import optimizer as optimizer_lib
from tf_sigma_vae.training.checkpoints import CheckpointError, Checkpoints, NonFiniteError

OPTIMIZER = Config(clip_norm=1.0, ema_momentum=0.9)


@functools.cache
def built(seed):
    """A model for each seed, built once: its state is drawn anew by `compiled`."""
    model = tiny_vae("gaussian_optimal")
    model.compile(optimizer_lib.build(OPTIMIZER, 10))
    model.optimizer.build(model.trainable_variables)
    return model


def compiled(seed=0):
    """The model of a seed, its state, optimizer and metrics included, drawn by the seed."""
    model = set_weights(built(seed), seed)
    rng = np.random.default_rng(seed + 1)
    for variable in [*model.optimizer.variables, *model.likelihood.variables]:
        variable.assign(rng.integers(1, 100, size=variable.shape))
    for metric in model.metrics:
        for variable in metric.variables:
            variable.assign(rng.uniform(size=variable.shape))
    return model


def state(model):
    """Copies of every variable of a model, its optimizer and its metrics."""
    metrics = [v for metric in model.metrics for v in metric.variables]
    return [v.numpy() for v in [*model.variables, *model.optimizer.variables, *metrics]]


def restored(folder, model):
    """The step of the latest checkpoint, with which the model and its metrics go on."""
    checkpoints = Checkpoints(str(folder), model, keep=2)
    step = checkpoints.restore()
    checkpoints.restore_running_metrics()
    return step


def assert_same(one, other):
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


def disk_is_full(*args, **kwargs):
    raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")


def files(folder):
    """Bytes of the files of a folder, by name."""
    return {path.name: path.read_bytes() for path in pathlib.Path(folder).glob("*.*")}


def test_a_new_model_gets_the_whole_state_back(tmp_path):
    model = compiled(0)
    written = Checkpoints(str(tmp_path), model, keep=2)
    written.best_elbo.assign(-3.25)
    written.epochs_since_best.assign(4)
    written.window_start.assign(np.arange(len(written.totals()), dtype=np.float64))
    written.save(12)
    other = compiled(1)
    read = Checkpoints(str(tmp_path), other, keep=2)
    assert read.restore() == 12
    read.restore_running_metrics()
    assert_same(state(model), state(other))
    assert (float(read.best_elbo), int(read.epochs_since_best)) == (-3.25, 4)
    np.testing.assert_array_equal(read.window_start, written.window_start)
    # Keras resets the metrics as an epoch starts.
    other.reset_metrics()
    read.restore_running_metrics()
    assert_same(state(model), state(other))


def test_a_new_run_starts_at_step_0_with_what_it_has(tmp_path):
    model = compiled()
    before = state(model)
    checkpoints = Checkpoints(str(tmp_path), model, keep=1)
    assert checkpoints.restore() == 0
    checkpoints.restore_running_metrics()
    assert_same(state(model), before)
    assert float(checkpoints.best_elbo) == -np.inf
    assert checkpoints.latest is None


def test_no_more_than_the_asked_number_is_kept(tmp_path):
    checkpoints = Checkpoints(str(tmp_path), compiled(), keep=2)
    for step in (3, 6, 9):
        checkpoints.save(step)
    assert sorted(p.stem for p in tmp_path.glob("*.index")) == ["step-6", "step-9"]
    assert checkpoints.latest == str(tmp_path / "step-9")


def test_the_best_weights_come_back_and_the_step_stays(tmp_path):
    model = compiled(0)
    checkpoints = Checkpoints(str(tmp_path), model, keep=1)
    checkpoints.save_best(5)
    num_metrics = len(checkpoints.totals())
    best = state(model)[:-num_metrics]
    for variable in [*model.variables, *model.optimizer.variables]:
        variable.assign(tf.ones_like(variable))
    checkpoints.save(8)
    checkpoints.load_best()
    assert_same(state(model)[:-num_metrics], best)
    assert int(checkpoints.step) == 8


def test_without_a_best_the_weights_stay(tmp_path):
    model = compiled()
    before = state(model)
    Checkpoints(str(tmp_path), model, keep=1).load_best()
    assert_same(state(model), before)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_weight_that_is_not_finite_is_named_and_nothing_is_written(tmp_path, value):
    model = compiled()
    checkpoints = Checkpoints(str(tmp_path), model, keep=2)
    checkpoints.save(3)
    before = files(tmp_path)
    bias = next(v for v in model.decoder.weights if v.name == "bias")
    bias.assign(tf.tensor_scatter_nd_update(tf.convert_to_tensor(bias), [[1]], [value]))
    for save in (checkpoints.save, checkpoints.save_best):
        with pytest.raises(NonFiniteError) as caught:
            save(6)
        assert "the weight" in str(caught.value)
        assert "decoder" in str(caught.value)
        assert "is not finite at step 6" in str(caught.value)
        assert f"The last good checkpoint is '{tmp_path / 'step-3'}'" in str(caught.value)
    assert files(tmp_path) == before


def test_a_full_disk_leaves_the_previous_checkpoint_intact(tmp_path, monkeypatch):
    model = compiled(0)
    checkpoints = Checkpoints(str(tmp_path), model, keep=2)
    checkpoints.save(3)
    saved, before = state(model), files(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(tf.train.CheckpointManager, "save", disk_is_full)
        with pytest.raises(CheckpointError) as caught:
            checkpoints.save(6)
    message = str(caught.value)
    assert f"cannot write the checkpoint of step 6 in '{tmp_path}'" in message
    assert "No space left on device" in message
    assert f"The last complete one is '{tmp_path / 'step-3'}'" in message
    assert files(tmp_path) == before
    other = compiled(1)
    assert restored(tmp_path, other) == 3
    assert_same(state(other), saved)


def test_a_write_that_really_fails_is_said_too(tmp_path):
    checkpoints = Checkpoints(str(tmp_path), compiled(), keep=2)
    checkpoints.save(3)
    # A folder where TensorFlow puts its part files.
    (tmp_path / "best").write_text("in the way")
    with pytest.raises(CheckpointError, match="cannot write the checkpoint of step 6"):
        checkpoints.save_best(6)
    assert Checkpoints(str(tmp_path), compiled(1), keep=2).restore() == 3


def torn(content):
    return content[:100]


def flipped(content):
    middle = len(content) // 2
    return content[:middle] + bytes(255 - b for b in content[middle:])


@pytest.mark.parametrize("damage", [torn, flipped])
def test_a_corrupt_checkpoint_is_named_and_the_way_back_works(tmp_path, damage):
    model = compiled(0)
    checkpoints = Checkpoints(str(tmp_path), model, keep=2)
    checkpoints.save(3)
    earlier = state(model)
    model.optimizer.iterations.assign(77)
    checkpoints.save(6)
    data = tmp_path / "step-6.data-00000-of-00001"
    data.write_bytes(damage(data.read_bytes()))
    with pytest.raises(CheckpointError) as caught:
        Checkpoints(str(tmp_path), compiled(1), keep=2).restore()
    message = str(caught.value)
    assert f"cannot read the checkpoint '{tmp_path / 'step-6'}'" in message
    assert f"Earlier ones: ['{tmp_path / 'step-3'}']" in message
    advice = f"replace step-6 by step-3 in '{tmp_path / 'checkpoint'}'"
    assert advice in message
    index = tmp_path / "checkpoint"
    index.write_text(index.read_text().replace("step-6", "step-3"))
    other = compiled(1)
    assert restored(tmp_path, other) == 3
    assert_same(state(other), earlier)


def test_a_corrupt_only_checkpoint_is_said_to_be_the_only_one(tmp_path):
    Checkpoints(str(tmp_path), compiled(), keep=1).save(3)
    (tmp_path / "step-3.index").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"step-3'.*There is no earlier one"):
        Checkpoints(str(tmp_path), compiled(), keep=1).restore()


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    Checkpoints(str(tmp_path), compiled(), keep=1).save(3)
    other = tiny_vae("gaussian_optimal", latent_size=7)
    other.compile(optimizer_lib.build(OPTIMIZER, 10))
    other.optimizer.build(other.trainable_variables)
    with pytest.raises(CheckpointError, match="cannot read the checkpoint"):
        Checkpoints(str(tmp_path), other, keep=1).restore()


Usage = collections.namedtuple("Usage", "total used free")


def test_a_disk_too_small_for_the_checkpoints_is_said_at_the_start(tmp_path, monkeypatch):
    model = compiled()
    keep = 2
    variables = [*model.variables, *model.optimizer.variables]
    size = sum(v.numpy().nbytes for v in variables)
    checkpoints = Checkpoints(str(tmp_path), model, keep)
    needed = (keep + 3) * size
    monkeypatch.setattr("shutil.disk_usage", lambda path: Usage(0, 0, needed))
    checkpoints.require_space()
    monkeypatch.setattr("shutil.disk_usage", lambda path: Usage(0, 0, needed - 1))
    with pytest.raises(CheckpointError, match=f"'{tmp_path}' has 0 MiB free, but the checkpoints"):
        checkpoints.require_space()


@pytest.mark.parametrize("damage", ["", "garbage"])
def test_checkpoints_whose_list_is_corrupt_are_not_started_over(tmp_path, damage):
    Checkpoints(str(tmp_path), compiled(0), keep=2).save(7)
    index = tmp_path / "checkpoint"
    index.write_text(damage, encoding="utf-8")
    with pytest.raises(CheckpointError, match="step-7") as caught:
        Checkpoints(str(tmp_path), compiled(1), keep=2).restore()
    line = str(caught.value).split("one line: ")[1].split(")")[0]
    index.write_text(line + "\n", encoding="utf-8")
    assert Checkpoints(str(tmp_path), compiled(1), keep=2).restore() == 7


def test_a_first_checkpoint_that_a_kill_left_unlisted_is_resumed_from(tmp_path):
    model = compiled(0)
    Checkpoints(str(tmp_path), model, keep=2).save(7)
    (tmp_path / "checkpoint").unlink()
    other = compiled(1)
    assert restored(tmp_path, other) == 7
    assert_same(state(model), state(other))


def test_a_first_checkpoint_that_a_kill_left_torn_is_done_again(tmp_path):
    Checkpoints(str(tmp_path), compiled(0), keep=2).save(7)
    (tmp_path / "checkpoint").unlink()
    (tmp_path / "step-7.index").write_bytes(b"")
    assert Checkpoints(str(tmp_path), compiled(1), keep=2).restore() == 0
