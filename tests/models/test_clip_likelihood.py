"""The scale of clips under `scale_over`: of the batch, of each clip, of each frame."""

import numpy as np
import pytest
import tensorflow as tf

from tests._clips import CONTEXT, clips, tiny_sequence
from tests._representatives import REPRESENTATIVES

BATCH, FRAMES = 3, 5
PREDICTED, SIZE = FRAMES - CONTEXT, 256
FLOOR = 1.0 / 510.0
RELATIVE = 1e-5
"""Of float32 means over some hundred numbers."""
NATS = 1e-3
# One with logits on an axis more, one with coupled channels, one with a scale that is not theirs.
KINDS = [("categorical", "clip"), ("logistic_mixture", "clip"), ("mse", "frame")]
SLOW = [(name, "clip") for name in REPRESENTATIVES if name != "logistic_mixture"]
SLOW += [("gaussian_inverse_gamma", "frame"), ("logistic_mixture", "frame")]
KINDS += [pytest.param(*kind, marks=pytest.mark.slow) for kind in SLOW]
untraced = pytest.mark.usefixtures("untraced")


@pytest.fixture(scope="module")
def x():
    """Clips and frames of unlike contrast, so that each has a variance of its own."""
    contrast = np.linspace(0.2, 1.0, BATCH * FRAMES, dtype=np.float32)
    return 0.5 + (clips(BATCH, FRAMES) - 0.5) * contrast.reshape(BATCH, FRAMES, 1, 1, 1)


def squared_errors(output, x):
    """`[B, T']`, mean over a frame."""
    return np.mean((output.likelihood.mean() - x[:, CONTEXT:]) ** 2, axis=(2, 3, 4))


@pytest.mark.parametrize(
    ("likelihood", "scale_over", "axes"),
    [
        ("gaussian_optimal", "clip", (0, 1)),
        ("gaussian_optimal", "frame", (0, 1)),
        ("gaussian_optimal_per_image", "clip", (1,)),
        ("gaussian_optimal_per_image", "frame", ()),
    ],
)
def test_the_training_scale_is_over_batch_clip_or_frame(likelihood, scale_over, axes, x):
    model = tiny_sequence(likelihood, scale_over=scale_over)
    output = model(x, training=True)
    errors = squared_errors(output, x)
    variance = np.broadcast_to(errors.mean(axis=axes, keepdims=True), errors.shape) + FLOOR**2
    found = output.likelihood.stddev().numpy()[:, :, 0, 0, 0]
    np.testing.assert_allclose(found, np.sqrt(variance), rtol=RELATIVE)
    nll = 0.5 * SIZE * (np.log(2 * np.pi * variance) + errors / variance)
    np.testing.assert_allclose(output.distortion, nll.sum(axis=1), atol=NATS)
    np.testing.assert_allclose(
        model.target_likelihood.log_scale(output.likelihood),
        0.5 * np.log(variance).mean(axis=1),
        rtol=RELATIVE,
    )


@untraced
@pytest.mark.parametrize(
    ("likelihood", "scale_over", "num"),
    [
        ("gaussian_optimal", "clip", BATCH),
        ("gaussian_optimal_per_image", "frame", BATCH * PREDICTED),
    ],
)
def test_calibration_is_the_mean_squared_error_of_predicted_frames(likelihood, scale_over, num, x):
    model = tiny_sequence(likelihood, scale_over=scale_over)
    provenance = model.calibrate(tf.data.Dataset.from_tensor_slices(x).batch(2), step=0)
    errors = squared_errors(model(x), x)
    assert provenance["num_examples"] == num
    np.testing.assert_allclose(model.likelihood.variance, errors.mean(), rtol=RELATIVE)
    if likelihood == "gaussian_optimal_per_image":
        parts = errors if scale_over == "frame" else errors.mean(axis=1)
        found = model.likelihood.variance_square
        np.testing.assert_allclose(found, (parts**2).mean(), rtol=RELATIVE)


@untraced
@pytest.mark.parametrize("scale_over", ["frame", "clip"])
def test_frames_are_independent_if_each_has_a_scale_of_its_own(scale_over, x):
    """A scale that is integrated out couples them: the joint is not the product of marginals."""
    model = tiny_sequence("gaussian_optimal_per_image", scale_over=scale_over)
    model.calibrate(x)
    output = model(x)
    total = tf.reduce_sum(model.frame_distortions(output, x), axis=1)
    if scale_over == "frame":
        np.testing.assert_allclose(total, output.distortion, rtol=RELATIVE)
    else:
        assert np.all(np.abs(total - output.distortion) > 0.5)


@untraced
@pytest.mark.parametrize(("name", "scale_over"), KINDS)
def test_every_likelihood_is_of_clips(name, scale_over):
    x = clips(BATCH, FRAMES, (16, 16, 3))
    model = tiny_sequence(name, (16, 16, 3), scale_over=scale_over)
    model.calibrate(x)
    output = model(x)
    assert output.likelihood.batch_shape == (BATCH,)
    assert output.likelihood.event_shape == (PREDICTED, 16, 16, 3)
    drawn = output.likelihood.sample(seed=[0, 1])
    assert drawn.shape == output.likelihood.mean().shape == (BATCH, PREDICTED, 16, 16, 3)
    log_mass = model.target_likelihood.bin_log_mass(output.likelihood, model.targets(x))
    assert log_mass.dtype == tf.float64 and np.all(np.isfinite(log_mass)) and np.all(log_mass < 0)
    frames = tf.reshape(output.params, [-1, *output.params.shape[2:]])
    of_frames = model.frame_distribution(frames)
    mean = tf.reshape(of_frames.mean(), [BATCH, PREDICTED, 16, 16, 3])
    np.testing.assert_allclose(mean, output.likelihood.mean(), rtol=RELATIVE, atol=1e-6)


def test_scales_of_frames_are_found_in_batches_of_unknown_size(x):
    model = tiny_sequence("gaussian_optimal_per_image", scale_over="frame")

    def read(params, targets):
        likelihood = model.target_likelihood.distribution(params, targets, training=True)
        return likelihood.log_prob(targets), likelihood.mean(), likelihood.stddev()

    spec = tf.TensorSpec([None, None, *x.shape[2:]])
    traced = tf.function(read, input_signature=[spec, spec])
    given = tf.zeros(x.shape), tf.constant(x)
    for found, expected in zip(traced(*given), read(*given), strict=True):
        np.testing.assert_allclose(found, expected, rtol=RELATIVE)


def test_the_scale_of_a_mean_over_clips_of_unknown_length_is_that_of_their_size(x):
    model = tiny_sequence("mse")
    spec = tf.TensorSpec([None, None, *x.shape[2:]])
    traced = tf.function(
        lambda x: model.target_likelihood.distribution(x).stddev(), input_signature=[spec]
    )
    expected = model.target_likelihood.distribution(tf.constant(x)).stddev()
    np.testing.assert_allclose(traced(x), expected, rtol=RELATIVE)
    np.testing.assert_allclose(expected, np.sqrt(FRAMES * SIZE / 2.0), rtol=RELATIVE)
