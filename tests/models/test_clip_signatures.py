"""What the signatures of a model of videos answer, without graphs; with them, in tests/export."""

import numpy as np
import pytest
import tensorflow as tf

from tests._representatives import REPRESENTATIVES
from tests._videos import CONTEXT, FRAME, tiny_svg, videos
from tf_sigma_vae import objectives
from tf_sigma_vae.models import _clip_signatures
from tf_sigma_vae.models._clip_signatures import ClipSignatures
from tf_sigma_vae.models._signatures import Z_STREAM, row_ids

NUM_FRAMES, LENGTH = 2, 5
ROUNDING = 1e-5
"""Relative: a graph, or a batch of another size, may sum in another order."""
SEEDS = np.array([[0, 1], [7, -3], [0, 1], [7, -2]], np.int32)
NUM_STANDARD_ERRORS = 5.5
"""Of a normal mean: further off once in some ten million runs."""

pytestmark = pytest.mark.usefixtures("untraced")


def clips(num_clips=4, length=LENGTH, seed=0):
    return videos(num_clips, length, seed=seed).astype(np.float32) / np.float32(255)


@pytest.fixture(scope="module")
def model():
    return tiny_svg("gaussian_per_pixel")


@pytest.fixture(scope="module")
def signatures(model):
    return ClipSignatures(model, NUM_FRAMES, [3.0, 1.0], validation_frames=LENGTH)


def test_the_default_is_the_prediction(signatures):
    functions = signatures.functions()
    assert set(functions) == {"serving_default", "predict", "encode", "elbo", "anomaly"}
    assert functions["serving_default"] is functions["predict"]
    context, seed = functions["predict"].input_signature
    assert context.shape == (None, CONTEXT, *FRAME) and seed.shape == (None, 2)
    (images,) = functions["encode"].input_signature
    assert images.shape.as_list() == [None, None, *FRAME]


def test_scores_are_those_of_the_model_frame_by_frame(model, signatures):
    x = clips(3)
    output, found = model(x), signatures.anomaly(x)
    score = output.distortion + output.rate
    np.testing.assert_allclose(found["score"], score, rtol=ROUNDING)
    # Frames are independent given the scale.
    assert found["score_per_frame"].shape == (3, LENGTH - CONTEXT)
    sums = tf.reduce_sum(found["score_per_frame"], axis=1)
    np.testing.assert_allclose(sums, score, rtol=ROUNDING)


def test_p_values_are_of_clips_as_long_as_those_of_the_scores(model, signatures):
    x = clips()
    scores = signatures.anomaly(x)["score"].numpy()
    compared = ClipSignatures(model, 9, scores, validation_frames=LENGTH)
    p_value = compared.anomaly(x)["p_value"].numpy()
    # Each among four scores, its own too.
    np.testing.assert_allclose(p_value[np.argsort(-scores)], np.arange(2, 6) / 5, rtol=1e-6)
    assert np.all(np.isnan(signatures.anomaly(clips(2, LENGTH - 1))["p_value"]))
    unsaid = ClipSignatures(model, LENGTH - CONTEXT, scores)
    assert unsaid.validation_frames == LENGTH


def test_elbo_draws_by_the_seed_and_counts_the_frames_after_the_context(model, signatures):
    x, found = clips(), signatures.elbo(clips(), SEEDS)
    output = model.score(x, row_ids(SEEDS, Z_STREAM))
    expected = -(output.distortion + output.rate)
    np.testing.assert_allclose(found["elbo"], expected, rtol=ROUNDING)
    per_frame = expected / (LENGTH - CONTEXT)
    np.testing.assert_allclose(found["elbo_per_frame"], per_frame, rtol=ROUNDING)
    np.testing.assert_allclose(found["log_prob"] - found["rate"], expected, rtol=ROUNDING)
    num_dims = (LENGTH - CONTEXT) * int(np.prod(FRAME))
    bits = objectives.bits_per_dim(-expected, num_dims, "density")
    np.testing.assert_allclose(found["bits_per_dim"], bits, rtol=ROUNDING)
    other = signatures.elbo(x, SEEDS + 1)["elbo"]
    assert np.all(np.abs(other - expected) > ROUNDING * np.abs(expected))


def test_encode_gives_the_posterior_and_the_prior_of_every_frame(model, signatures):
    x, found = clips(), signatures.encode(clips())
    for name, of_frames in (("z", model.encode(x)), ("prior", model.priors(x))):
        assert found[f"{name}_mean"].shape == (4, LENGTH, model.latent_size)
        np.testing.assert_allclose(found[f"{name}_mean"], of_frames.mean(), atol=1e-6)
        np.testing.assert_allclose(found[f"{name}_scale"], of_frames.stddev(), rtol=ROUNDING)


def test_draws_of_a_prediction_are_functions_of_the_seed_alone(signatures):
    context = clips()[:, :CONTEXT]
    found = signatures.predict(context, SEEDS)
    assert found["scale"].shape == (4, NUM_FRAMES, *FRAME)
    # Of the same context, by the seed alone; of another context, with the same noise.
    same = signatures.predict(np.repeat(context[:1], 4, axis=0), SEEDS)
    np.testing.assert_allclose(same["frames"][0], same["frames"][2], atol=1e-6)
    assert not np.allclose(same["mean"][1], same["mean"][3])
    noise = (found["frames"] - found["mean"]) / found["scale"]
    noise_of_same = (same["frames"] - same["mean"]) / same["scale"]
    np.testing.assert_allclose(noise, noise_of_same, atol=1e-3)
    # A standard Gaussian's: the standard errors are those of its mean and of its deviation.
    distinct = noise.numpy()[[0, 1, 3]].astype(np.float64)
    assert abs(distinct.mean()) < NUM_STANDARD_ERRORS / np.sqrt(distinct.size)
    assert abs(distinct.std() - 1) < NUM_STANDARD_ERRORS / np.sqrt(2 * distinct.size)


def test_a_longer_prediction_begins_as_a_shorter_one(model, signatures):
    context = clips()[:, :CONTEXT]
    shorter = ClipSignatures(model, NUM_FRAMES - 1).predict(context, SEEDS)
    longer = signatures.predict(context, SEEDS)
    for name, value in shorter.items():
        np.testing.assert_allclose(value, longer[name][:, : NUM_FRAMES - 1], atol=1e-6)


@pytest.mark.parametrize("num_frames", [0, -1, 2.0, True])
def test_an_impossible_number_of_frames_is_refused(model, num_frames):
    with pytest.raises(ValueError, match="num_frames must be an integer from 1"):
        ClipSignatures(model, num_frames)


def test_the_default_length_is_that_of_svg(model):
    assert _clip_signatures.NUM_FRAMES + CONTEXT == 30
    assert model.signatures()["predict"].input_signature[0].shape == (None, CONTEXT, *FRAME)


@pytest.mark.parametrize(
    ("likelihood", "scale_over"),
    [
        # No density, no mass, and no scale; the model of the other tests is of a density.
        ("bernoulli", "clip"),
        *(pytest.param(name, "clip", marks=pytest.mark.slow) for name in REPRESENTATIVES),
        pytest.param("gaussian_optimal_per_image", "frame", marks=pytest.mark.slow),
    ],
)
def test_every_likelihood_is_predicted_and_scored(likelihood, scale_over):
    """Without graphs: the shapes, and what has a meaning for every head."""
    made = tiny_svg(likelihood, scale_over=scale_over)
    x = clips(2)
    made.calibrate(x)
    signatures = ClipSignatures(made, 2)
    found = signatures.predict(x[:, :CONTEXT], SEEDS[:2])
    scale = {"image": (2, 2), "channel": (2, 2, 3), "element": (2, 2, *FRAME)}
    assert ("scale" in found) == made.likelihood.has_scale
    if "scale" in found:
        assert found["scale"].shape == scale[made.likelihood.scale_per]
    for name in ("mean", "frames", "mean_rollout"):
        assert found[name].shape == (2, 2, *FRAME) and np.all(np.isfinite(found[name])), name
    scored = signatures.elbo(x, SEEDS[:2])
    assert all(value.shape == (2,) and np.all(np.isfinite(value)) for value in scored.values())
    if made.likelihood.measure != "density":
        assert np.all(scored["bits_per_dim"] > 0)
