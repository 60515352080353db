"""Likelihoods on clips: in bfloat16, saved and loaded, rolled out, by XLA, on replicas.

They take minutes and are slow; by default a sequence is in the tests of models.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf

from benchmarks import _equality
from tests._models import set_weights, weights_of
from tests._printed import printed_by
from tests._representatives import REPRESENTATIVES
from tests._videos import CONTEXT, LENGTH, tiny_svg, videos
from tests.conformance import _xla_steps as steps
from tests.conformance.test_replicas import FLOAT32, require_small
from tests.conformance.test_xla import STRUCTURE_OF_A_PROGRAM, UNKNOWN_TO_TENSORFLOW, assert_close
from tf_sigma_vae import models

FRAME = (16, 16, 1)
BATCH, COPIES, HORIZON = 3, 2, 4
REPLICAS = 3
CASES = [
    "clips, gaussian_optimal",
    "clips, gaussian_optimal: scale over frames",
    "clips, gaussian_optimal: accumulation",
    "clips, gaussian_optimal: free_bits",
]
"""What is summed over replicas. `test_replicas` has other likelihoods and settings, of images."""

# Most of the models are trained in bfloat16, by a fixture.
pytestmark = [pytest.mark.slow, pytest.mark.bfloat16]


def clips(num_clips, seed=0):
    return (videos(num_clips, frame=FRAME, seed=seed) / 255).astype(np.float32)


@pytest.fixture(scope="module")
def trained():
    """A model with a likelihood after an epoch in bfloat16, its scale set; made once each."""
    made = {}

    def model_of(name):
        if name not in made:
            model = tiny_svg(name, FRAME, dtype="mixed_bfloat16")
            model.compile(keras.optimizers.Adam(1e-3))
            start = weights_of(model)
            history = model.fit(clips(2 * BATCH), batch_size=BATCH, verbose=0).history
            assert all(
                np.any(weight.numpy() != before)
                for weight, before in zip(model.weights, start, strict=True)
                if weight.trainable
            )
            model.calibrate(clips(2 * BATCH, seed=2))
            made[name] = model, history
        return made[name]

    return model_of


@pytest.mark.parametrize("name", REPRESENTATIVES)
def test_training_in_bfloat16_is_finite_and_rates_are_float32(trained, name):
    model, history = trained(name)
    assert {"loss", "elbo", "rate", "distortion", "elbo_per_frame"} <= set(history)
    assert all(np.all(np.isfinite(values)) for values in history.values())
    output = model(clips(BATCH, seed=1))
    assert output.rate_groups.dtype == output.rate.dtype == output.distortion.dtype == tf.float32
    assert output.rate_groups.shape == (BATCH, LENGTH - CONTEXT)
    assert np.all(output.rate_groups >= 0) and np.all(np.isfinite(output.distortion))
    parts = (model.frame_encoder, model.frame_decoder, model.predictor)
    assert {part.compute_dtype for part in parts} == {"bfloat16"}
    assert {weight.dtype for weight in model.trainable_weights} == {"float32"}


@pytest.mark.parametrize("name", REPRESENTATIVES)
def test_a_saved_model_scores_and_rolls_out_as_before(trained, name, tmp_path):
    model, _ = trained(name)
    model.save(tmp_path / "model.keras")
    loaded = models.load(tmp_path / "model.keras")
    x = clips(BATCH, seed=1)
    ids = model.rollout_noise_ids(x[:, :CONTEXT], COPIES, seed=5)
    before, after = model(x), loaded(x)
    np.testing.assert_array_equal(after.distortion, before.distortion)
    np.testing.assert_array_equal(after.rate_groups, before.rate_groups)
    of_frames = [m.frame_distortions(m(x), x) for m in (model, loaded)]
    np.testing.assert_array_equal(*of_frames)
    rollouts = [m.rollout(x[:, :CONTEXT], HORIZON, ids) for m in (model, loaded)]
    assert rollouts[0].shape[:-1] == (BATCH, COPIES, HORIZON, *FRAME[:-1])
    np.testing.assert_array_equal(*(tf.cast(params, tf.float32) for params in rollouts))
    assert np.all(np.isfinite(tf.cast(rollouts[0], tf.float32)))
    assert loaded.likelihood.provenance() == model.likelihood.provenance()


def _step_of(name, jit_compile):
    """A step of a model for a batch of clips, as `_xla_steps` has them of images."""
    model = set_weights(tiny_svg(name, FRAME), scale=0.1)
    model.compile(steps.optimizer.Sgd(0.1, momentum=0.5, clip_norm=1.0), jit_compile=False)
    model.optimizer.build(model.trainable_variables)
    if jit_compile:
        return steps.Step(model, BATCH, (LENGTH, *FRAME))
    return model, tf.function(model.train_step)


def test_xla_takes_the_steps_that_tensorflow_does():
    # What likelihoods add to the graph is that of images: see `test_xla`.
    name = "gaussian_optimal"
    step, (plain, plain_step) = _step_of(name, True), _step_of(name, False)
    start = weights_of(plain)
    for seed in (1, 2):
        x = clips(BATCH, seed)
        given, wanted = step(x), plain_step(tf.constant(x))
        assert {"loss", "elbo", "elbo_per_frame"} <= given.keys() == wanted.keys()
        for metric, value in wanted.items():
            assert_close(given[metric], value, metric)
    for weight, value, initial in zip(step.model.weights, weights_of(plain), start, strict=True):
        assert_close(weight.numpy(), value, weight.path, initial)
    assert all(np.any(taken) for taken in plain.optimizer.momentums)
    assert steps.without_kernel(step.nodes) == set()
    assert steps.of_unknown_shape(step.nodes) <= UNKNOWN_TO_TENSORFLOW
    assert steps.is_static(step.stablehlo)
    operations = steps.stablehlo_operations(step.stablehlo)
    assert {n for n in operations if not n.startswith("stablehlo.")} <= STRUCTURE_OF_A_PROGRAM
    assert "f64" not in steps.stablehlo_types(step.stablehlo)


def test_a_model_compiled_by_xla_trains_as_one_that_is_not():
    histories = []
    for jit_compile in (False, True):
        model = set_weights(tiny_svg("gaussian_optimal", FRAME), scale=0.1)
        model.compile(keras.optimizers.SGD(1e-3), jit_compile=jit_compile)
        histories.append(model.fit(clips(2 * BATCH), batch_size=BATCH, verbose=0).history)
        assert model.jit_compile == jit_compile
    assert histories[0].keys() == histories[1].keys()
    for metric, values in histories[0].items():
        assert_close(histories[1][metric], values, metric)


@pytest.fixture(scope="module")
def on_replicas():
    """By how much several replicas differ from one device, by case."""
    return printed_by("benchmarks._equality", str(REPLICAS), *CASES)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("case", CASES)
def test_replicas_train_on_clips_as_one_device_does(on_replicas, case):
    require_small(dict(on_replicas[case]), FLOAT32)


def test_uneven_shares_of_clips_leave_no_replica_without_one():
    assert _equality.LAST_BATCH_SIZE % REPLICAS
    assert REPLICAS <= _equality.LAST_BATCH_SIZE
