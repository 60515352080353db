import math

import numpy as np
import pytest
from scipy.special import logsumexp

from tests.evaluation import _video_runs as runs
from tests.evaluation._eagerly import eagerly
from tf_sigma_vae.evaluation import clips, iwae
from tf_sigma_vae.evaluation.evaluate import UNITS, evaluate_model
from tf_sigma_vae.likelihoods import NotCalibratedError

NUM_VIDEOS, CLIPS_PER_VIDEO, HORIZON = 6, 2, 3
NUM_CLIPS = NUM_VIDEOS * CLIPS_PER_VIDEO
NUM_DIMS = HORIZON * math.prod(runs.FRAME_SHAPE)
# Batches of other sizes may round float32 sums otherwise; so may NumPy in float64.
ROUNDING = 1e-5
ALWAYS = {"elbo", "rate", "distortion", "iwae", "bits_per_dim_mass", "bits_per_dim_density"}
ALWAYS |= {"elbo_per_frame", "rate_per_frame", "distortion_per_frame"}
ALWAYS |= {"mse", "psnr", "log_scale", "beta_equivalent"}
OF_BATCH = {"elbo_batch_scale", "distortion_batch_scale"}


@pytest.fixture(scope="module")
def source():
    return runs.source(NUM_VIDEOS)


@pytest.fixture(scope="module")
def evaluated(source):
    counts = []
    with eagerly():
        found = evaluate_model(runs.shared_model(), source, 3, 5, counts.append, runs.CLIP_LENGTH)
    assert counts == [5, 5, 2]
    return found


@pytest.fixture(scope="module")
def output(source):
    return runs.shared_model()(runs.clips(source))


def test_the_metrics_are_those_of_images_and_of_a_frame(evaluated):
    metrics = evaluated.metrics
    assert set(metrics) == ALWAYS | OF_BATCH
    assert list(metrics) == [name for name in UNITS if name in metrics]
    assert metrics["elbo_per_frame"].unit == "nats/frame"


def test_the_protocol_says_what_was_counted(evaluated):
    protocol = evaluated.protocol
    names = ("num_examples", "num_clips", "clips_per_video", "clip_length", "context_frames")
    assert [protocol[name] for name in names] == [NUM_VIDEOS, NUM_CLIPS, CLIPS_PER_VIDEO, 5, 2]
    assert (protocol["horizon"], protocol["scale_over"]) == (HORIZON, "clip")
    assert (protocol["video_length"], protocol["num_samples"]) == (11, 3)
    assert "videos" in protocol["conventions"]["standard_error"]


def test_the_distortion_is_of_the_predicted_frames_alone(evaluated, output, source):
    # The Gaussian of the stored scale in float64; the two given frames owe nothing.
    x = runs.clips(source).astype(np.float64)[:, runs.CONTEXT_FRAMES :]
    loc = 1.0 / (1.0 + np.exp(-output.params.numpy().astype(np.float64)))
    variance = runs.shared_model().likelihood.variance.numpy() + (1.0 / 510.0) ** 2
    errors = np.sum((x - loc) ** 2, axis=(1, 2, 3, 4))
    nats = errors / (2.0 * variance) + NUM_DIMS / 2.0 * math.log(2.0 * math.pi * variance)
    metrics = evaluated.metrics
    assert metrics["distortion"].value == pytest.approx(nats.mean(), rel=ROUNDING)
    assert metrics["mse"].value == pytest.approx(errors.mean() / NUM_DIMS, rel=ROUNDING)
    psnr = -10.0 * np.log10(np.mean((x - loc) ** 2, axis=(2, 3, 4)))
    assert metrics["psnr"].value == pytest.approx(psnr.mean(), rel=ROUNDING)


def test_nats_of_a_frame_are_those_of_the_clip_over_the_predicted_frames(evaluated):
    for name in ("elbo", "rate", "distortion"):
        of_clip, of_frame = (evaluated.metrics[n] for n in (name, f"{name}_per_frame"))
        assert of_frame[:2] == pytest.approx(np.array(of_clip[:2]) / HORIZON, rel=ROUNDING)


def test_errors_are_over_videos(evaluated, output):
    for name in ("rate", "distortion"):
        values = getattr(output, name).numpy().astype(np.float64)
        of_videos = values.reshape(NUM_VIDEOS, CLIPS_PER_VIDEO).mean(axis=1)
        error = of_videos.std(ddof=1) / math.sqrt(NUM_VIDEOS)
        found = evaluated.metrics[name]
        assert found[:2] == pytest.approx((values.mean(), error), rel=1e2 * ROUNDING)


def test_the_bits_are_over_the_predicted_scalars(evaluated, output, source):
    model, x = runs.shared_model(), runs.clips(source)
    mass = model.target_likelihood.bin_log_mass(output.likelihood, model.targets(x)).numpy()
    bits = (output.rate.numpy() - mass) / (NUM_DIMS * math.log(2.0))
    assert evaluated.metrics["bits_per_dim_mass"].value == pytest.approx(bits.mean(), rel=ROUNDING)
    spread = model(clips.dequantized(x, seed=0))
    nats = (spread.rate + spread.distortion).numpy() + NUM_DIMS * math.log(256.0)
    found = evaluated.metrics["bits_per_dim_density"].value
    assert found == pytest.approx((nats / (NUM_DIMS * math.log(2.0))).mean(), rel=ROUNDING)


def test_dequantized_values_stay_in_their_bins_whatever_the_batch(source):
    x = runs.clips(source)[:3]
    found = clips.dequantized(x, seed=0).numpy()
    np.testing.assert_array_equal(np.floor(256.0 * found), np.rint(255.0 * x))
    np.testing.assert_array_equal(clips.dequantized(x[1:], seed=0), found[1:])
    assert np.all(clips.dequantized(x, seed=1).numpy() != found)


def test_the_bound_is_of_the_weights_of_all_samples(evaluated, source):
    weights = runs.shared_model().log_importance_weights(runs.clips(source), 3).numpy()
    expected = logsumexp(weights.astype(np.float64), axis=0) - math.log(3.0)
    assert evaluated.metrics["iwae"].value == pytest.approx(expected.mean(), rel=ROUNDING)
    assert iwae.chunk_size((4, 4, 1), 32, 2, 8) * 8 == iwae.chunk_size((4, 4, 1), 32, 2)


def test_the_scale_of_a_batch_is_over_its_clips_and_predicted_frames(evaluated, output, source):
    x = runs.clips(source)[:, runs.CONTEXT_FRAMES :].astype(np.float64)
    loc = 1.0 / (1.0 + np.exp(-output.params.numpy().astype(np.float64)))
    errors = np.mean((x - loc) ** 2, axis=(1, 2, 3, 4))
    nats = []
    for batch in (errors[:5], errors[5:10], errors[10:]):
        variance = batch.mean() + (1.0 / 510.0) ** 2
        log_term = math.log(2.0 * math.pi * variance)
        nats.extend(NUM_DIMS / 2.0 * (batch / variance + log_term))
    found = evaluated.metrics["distortion_batch_scale"].value
    assert found == pytest.approx(np.mean(nats), rel=ROUNDING)


@pytest.mark.slow
def test_a_compiled_evaluation_has_the_figures_of_one_op_by_op(evaluated, source):
    compiled = evaluate_model(runs.shared_model(), source, 3, 5, clip_length=runs.CLIP_LENGTH)
    assert compiled.protocol == evaluated.protocol
    for name, found in compiled.metrics.items():
        assert found.value == pytest.approx(evaluated.metrics[name].value, rel=ROUNDING), name


@pytest.mark.slow
@pytest.mark.parametrize(
    ("likelihood", "own", "scale_over"),
    [
        ("gaussian_optimal_per_image", {"elbo_image_scale", "distortion_image_scale"}, "clip"),
        ("gaussian_optimal", OF_BATCH, "frame"),
        ("gaussian_per_pixel", set(), "frame"),
    ],
)
def test_every_scale_has_its_metrics(source, likelihood, own, scale_over):
    model = runs.tiny_sequence_vae(likelihood, scale_over=scale_over)
    with eagerly():
        first, second = (
            evaluate_model(model, source, 2, size, clip_length=runs.CLIP_LENGTH).metrics
            for size in (5, 12)
        )
    assert set(first) == ALWAYS | own
    for name in ALWAYS | (own - OF_BATCH):
        assert first[name].value == pytest.approx(second[name].value, rel=ROUNDING), name


@pytest.mark.slow
def test_the_scale_of_each_frame_is_that_of_its_own_errors(source):
    model = runs.tiny_sequence_vae("gaussian_optimal_per_image", scale_over="frame")
    with eagerly():
        found = evaluate_model(model, source, 0, clip_length=runs.CLIP_LENGTH).metrics
    x = runs.clips(source).astype(np.float64)
    loc = 1.0 / (1.0 + np.exp(-model(runs.clips(source)).params.numpy().astype(np.float64)))
    errors = np.mean((x[:, runs.CONTEXT_FRAMES :] - loc) ** 2, axis=(2, 3, 4))
    variance = errors + (1.0 / 510.0) ** 2
    nats = NUM_DIMS / HORIZON / 2.0 * (errors / variance + np.log(2.0 * math.pi * variance))
    expected = nats.sum(axis=1).mean()
    assert found["distortion_image_scale"].value == pytest.approx(expected, rel=ROUNDING)


def test_an_exact_copy_counts_as_the_error_of_rounding():
    x = np.zeros([1, 2, 3, 3, 1], np.float32)
    np.testing.assert_allclose(clips.frame_psnr(x, x), [[clips.MAX_PSNR] * 2])
    assert clips.MAX_PSNR == pytest.approx(-10.0 * math.log10(1.0 / (12.0 * 255.0**2)))


def test_a_batch_is_of_as_many_clips_as_fit():
    assert clips.batch_size((64, 64, 3), 3, 30) == 512 // 30
    # 2^26 numbers are 21 frames of 64x64 with 768 channels.
    assert clips.batch_size((64, 64, 3), 768, 7) == 3
    assert clips.batch_size((512, 512, 3), 768, 30) == 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"images": np.zeros([4, 5, 16, 16, 1], np.uint8), "clip_length": None},
            "needs a VideoSource, got ndarray",
        ),
        ({"images": runs.source(3, frame_shape=(16, 18, 1))}, r"\(16, 16, 1\), got \(16, 18, 1\)"),
        ({"clip_length": 2}, "clips of 2 frames leave none to predict after the 2 context frames"),
        ({"clip_length": 12}, "a clip of 12 frames was asked for, but the videos have 11"),
        ({"images": runs.source(1)}, "at least 2 videos, got 1"),
        ({"num_samples": -1}, "num_samples must not be negative"),
        ({"global_batch_size": 0}, "global_batch_size must be at least 1"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(source, given, message):
    arguments = {"images": source, "clip_length": runs.CLIP_LENGTH, **given}
    with pytest.raises(ValueError, match=message):
        evaluate_model(runs.shared_model(), **arguments)


def test_a_scale_that_was_never_set_is_an_error(source, monkeypatch):
    model = runs.shared_model()

    def none_yet():
        raise NotCalibratedError("none yet")

    monkeypatch.setattr(model.likelihood, "require_scale", none_yet)
    with pytest.raises(NotCalibratedError, match="none yet"):
        evaluate_model(model, source, clip_length=runs.CLIP_LENGTH)
