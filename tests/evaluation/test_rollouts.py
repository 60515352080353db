import json
import math

import numpy as np
import pytest
import scipy.stats

from tests.evaluation import _video_runs as runs
from tf_sigma_vae import data
from tf_sigma_vae.evaluation import clips, frame_quality, rollouts
from tf_sigma_vae.evaluation.rollouts import quality, record, widths

NUM_VIDEOS, NUM_ROLLOUTS, NUM_CLIPS = 4, 5, 7
HORIZON = runs.CLIP_LENGTH - runs.CONTEXT_FRAMES
VIDEOS = np.arange(NUM_CLIPS) // 2
# Another shape of a batch rounds the networks' sums otherwise.
ROUNDING = 2e-5
# Of elements, 1 in 256 of which may be at the edge of the interval.
COVERAGE_TOLERANCE = 1e-3


@pytest.fixture(scope="module")
def source():
    return runs.source(NUM_VIDEOS)


def measured(source, **more):
    given = {"num_rollouts": NUM_ROLLOUTS, "num_clips": NUM_CLIPS, **more}
    return rollouts.model_rollouts(runs.shared_model(), source, clip_length=5, **given)


@pytest.fixture(scope="module")
def found(source):
    """The record, the contexts in chunks of two rollouts of one clip."""
    counts = []
    made = measured(source, max_numbers=2 * HORIZON * 16 * 16 * 4, progress=counts.append)
    assert counts == [1] * NUM_CLIPS
    return made


@pytest.fixture(scope="module")
def parts(source):
    """Contexts, true frames, and mean frames of all rollouts, one by one."""
    model, x = runs.shared_model(), runs.clips(source)[:NUM_CLIPS]
    context, targets = x[:, : runs.CONTEXT_FRAMES], x[:, runs.CONTEXT_FRAMES :]
    ids = model.rollout_noise_ids(context, NUM_ROLLOUTS, seed=0)
    made = np.empty([NUM_CLIPS, NUM_ROLLOUTS, *targets.shape[1:]], np.float32)
    for number in range(NUM_ROLLOUTS):
        params = model.rollout(context, HORIZON, ids[:, number : number + 1])[:, 0]
        made[:, number] = 1.0 / (1.0 + np.exp(-params.numpy()))
    return context, targets, made


def psnr(x, predicted):
    errors = np.mean((x.astype(np.float64) - predicted) ** 2, axis=(-3, -2, -1))
    return np.minimum(-10.0 * np.log10(errors), clips.MAX_PSNR)


def values_of(found, metric, kind):
    return np.array(found["curves"][metric][kind]["value"])


def test_the_best_of_each_clip_is_the_one_with_the_best_mean_over_steps(found, parts):
    _, targets, made = parts
    for metric, measure in (("psnr", psnr), ("ssim", frame_quality.ssim)):
        best, mean = [], []
        for clip in range(NUM_CLIPS):
            of_rollouts = [np.asarray(measure(targets[clip], one)) for one in made[clip]]
            best.append(max(of_rollouts, key=np.mean))
            mean.append(np.mean(of_rollouts, axis=0))
        for kind, each in (("best", best), ("mean", mean)):
            expected = np.mean(each, axis=0)
            np.testing.assert_allclose(
                values_of(found, metric, kind), expected, rtol=1e2 * ROUNDING
            )
            average = found["metrics"][f"{metric}_{kind}"]["value"]
            assert average == pytest.approx(expected.mean(), rel=1e2 * ROUNDING)
    assert np.all(values_of(found, "psnr", "best") != values_of(found, "psnr", "mean"))


def test_one_rollout_is_the_best_and_the_mean():
    values = np.random.default_rng(0).normal(size=(3, 1, 4))
    np.testing.assert_array_equal(quality.best(values), values[:, 0])


def test_the_copy_shows_the_last_context_frame(found, parts):
    context, targets, _ = parts
    expected = psnr(targets, context[:, -1:])
    np.testing.assert_allclose(
        values_of(found, "psnr", "copy"), expected.mean(axis=0), rtol=ROUNDING
    )


def test_the_mean_rollout_is_that_without_chance(found, parts):
    context, targets, _ = parts
    model = runs.shared_model()
    ids = model.rollout_noise_ids(context, 1, seed=8)
    params = model.rollout(context, HORIZON, ids, temperature=0.0)[:, 0].numpy()
    expected = psnr(targets, 1.0 / (1.0 + np.exp(-params))).mean(axis=0)
    np.testing.assert_allclose(values_of(found, "psnr", "mean_rollout"), expected, rtol=ROUNDING)


def test_steps_of_the_posterior_are_those_of_the_elbo(found, source):
    model, x = runs.shared_model(), runs.clips(source)[:NUM_CLIPS]
    output = model(x)
    rate = output.rate_groups.numpy().mean(axis=0)
    np.testing.assert_allclose(values_of(found, "rate", "posterior"), rate, rtol=ROUNDING)
    total = sum(values_of(found, "elbo", "posterior"))
    elbo = -(output.rate + output.distortion).numpy().mean()
    assert total == pytest.approx(elbo, rel=ROUNDING)
    assert found["metrics"]["elbo_posterior"]["value"] == pytest.approx(
        elbo / HORIZON, rel=ROUNDING
    )
    assert found["metrics"]["elbo_posterior"]["unit"] == "nats/frame"
    loc = output.likelihood.mean().numpy()
    expected = psnr(x[:, runs.CONTEXT_FRAMES :], loc).mean(axis=0)
    np.testing.assert_allclose(values_of(found, "psnr", "posterior"), expected, rtol=ROUNDING)


def test_errors_are_over_videos_and_intervals_are_of_95_percent(found, parts):
    context, targets, _ = parts
    values = psnr(targets, context[:, -1:])
    curve = {name: np.array(v) for name, v in found["curves"]["psnr"]["copy"].items()}
    deviations = values - values.mean(axis=0)
    # Three videos of two clips, and one of one.
    sums = np.stack([deviations[VIDEOS == video].sum(axis=0) for video in range(NUM_VIDEOS)])
    factor = NUM_VIDEOS / (NUM_VIDEOS - 1)
    expected = np.sqrt(factor * np.sum(sums**2, axis=0)) / NUM_CLIPS
    np.testing.assert_allclose(curve["standard_error"], expected, rtol=1e2 * ROUNDING)
    np.testing.assert_allclose(curve["high"] - curve["value"], 1.96 * curve["standard_error"])
    np.testing.assert_allclose(curve["value"] - curve["low"], 1.96 * curve["standard_error"])


def test_the_width_is_held_against_the_errors_after_true_frames_and_in_rollouts(
    found, parts, source
):
    _, targets, made = parts
    model = runs.shared_model()
    output = model(runs.clips(source)[:NUM_CLIPS])
    variance = model.likelihood.variance.numpy() + (1.0 / 510.0) ** 2
    half_width = scipy.stats.norm.ppf(0.95) * math.sqrt(variance)
    for kind, loc in (("posterior", output.likelihood.mean().numpy()), ("rollout", made[:, 0])):
        error = targets.astype(np.float64) - loc
        ratio = np.mean(error**2, axis=(0, 2, 3, 4)) / variance
        np.testing.assert_allclose(values_of(found, "variance_ratio", kind), ratio, rtol=1e-4)
        # The randomized PIT draws the rounding again: the edge is known to half a grey level.
        slack = 1.0 / 255.0
        covered = [
            np.mean(np.abs(error) <= half_width + s, axis=(0, 2, 3, 4)) for s in (-slack, slack)
        ]
        value = values_of(found, "coverage_90", kind)
        assert np.all((covered[0] - 1e-9 <= value) & (value <= covered[1] + 1e-9))


@pytest.mark.slow
def test_neither_chunks_nor_the_number_of_clips_change_a_clip(found, source):
    again = measured(source)
    assert again["protocol"] == found["protocol"]
    for metric, kinds in found["curves"].items():
        tolerance = COVERAGE_TOLERANCE if metric == widths.COVERAGE else 1e2 * ROUNDING
        for kind in kinds:
            np.testing.assert_allclose(
                values_of(again, metric, kind), values_of(found, metric, kind), rtol=tolerance
            )


@pytest.mark.slow
def test_the_seed_decides(found, source):
    assert measured(source, max_numbers=2 * HORIZON * 16 * 16 * 4) == found
    other = measured(source, seed=1)
    assert other["curves"]["psnr"]["mean"] != found["curves"]["psnr"]["mean"]
    copied = values_of(other, "psnr", "copy")
    np.testing.assert_allclose(copied, values_of(found, "psnr", "copy"), rtol=ROUNDING)


def test_the_record_is_fit_for_json_and_says_how_it_was_made(found):
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["steps"] == [1, 2, 3]
    assert found["absent"] == {}
    assert list(found["curves"]) == list(record.UNITS)
    assert found["units"] == dict(record.UNITS)
    for kinds in found["curves"].values():
        assert list(kinds) == [kind for kind in record.KINDS if kind in kinds]
    protocol = found["protocol"]
    numbers = {"num_rollouts": 5, "num_clips": 7, "num_videos": 4, "clips_per_video": 2}
    numbers |= {"clip_length": 5, "context_frames": 2, "horizon": 3, "seed": 0}
    assert {name: protocol[name] for name in numbers} == numbers


def test_a_table_shows_a_few_steps(found):
    other = {**found, "steps": [1], "protocol": {**found["protocol"], "num_rollouts": 9}}
    other["curves"] = {"psnr": {"best": {"value": [7.0], "standard_error": [0.5]}}}
    text = rollouts.table({"a": found, "b": other})
    lines = [line.split() for line in text.splitlines()]
    assert lines[0] == ["rollouts", "step", "a", "b"]
    assert ["psnr", "best", "1"] == lines[2][:3] and lines[2][-3:] == ["7.00", "±", "0.50"]
    assert [line[2] for line in lines if line[:2] == ["ssim", "best"]] == ["1", "3"]
    assert "a: best and mean of 5 rollouts of each of 7 clips" in text
    assert "b: best and mean of 9 rollouts" in text


def test_frames_below_the_window_have_no_ssim():
    assert quality.measured((10, 16, 1)) == ("psnr",)
    assert quality.reason_without_ssim((10, 16, 1)).startswith("SSIM has windows of 11x11")
    assert quality.reason_without_ssim((11, 11, 3)) is None


def test_a_head_without_a_cdf_says_so(monkeypatch):
    model = runs.shared_model()

    def no_cdf(distribution, x):
        raise TypeError("no CDF of grey levels")

    monkeypatch.setattr(model.likelihood, "grey_level_cdf", no_cdf)
    assert widths.Widths(model, seed=0).reason_without() == "no CDF of grey levels"


@pytest.mark.slow
@pytest.mark.parametrize("likelihood", ["bernoulli", "logistic_mixture"])
def test_every_head_has_its_curves(source, likelihood):
    made = rollouts.model_rollouts(runs.tiny_sequence_vae(likelihood), source, 2, 4, 5)
    assert set(made["curves"]) | set(made["absent"]) == set(record.UNITS)
    assert set(made["absent"]) <= {widths.COVERAGE, "variance_ratio"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"num_rollouts": 0}, "num_rollouts must be at least 1, got 0"),
        ({"num_clips": 1}, "rollout_clips must be at least 2, got 1"),
        ({"seed": -1}, "seed must not be negative"),
    ],
)
def test_impossible_numbers_are_refused(source, given, message):
    with pytest.raises(ValueError, match=message):
        measured(source, **given)


@pytest.mark.slow
def test_few_clips_are_of_as_many_videos_as_can_be(source):
    """However long the videos are: else all clips could be of the first one."""
    made = measured(source, num_clips=2, num_rollouts=1)
    assert made["protocol"]["num_videos"] == 2


def test_the_first_clips_of_all_videos_come_first(source):
    batches = list(clips.first(source, 5, 6, 4))
    assert [len(batch) for batch in batches] == [4, 2]
    in_order = runs.clips(source)
    by_video = in_order.reshape(len(source), -1, *in_order.shape[1:])
    expected = np.concatenate([by_video[:, 0], by_video[:, 1]])[:6]
    np.testing.assert_array_equal(np.concatenate(batches), expected)
    assert len(list(clips.first(source, 5, 99, 3))) == 3
    assert data.num_evaluation_clips(source, 5) == 8
