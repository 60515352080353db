import json
import math

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
import tensorflow_probability as tfp
from scipy.special import logsumexp

from tests._models import IMAGE_SHAPE, LATENT_SIZE, set_weights, tiny_vae
from tests.evaluation._eagerly import eagerly
from tf_sigma_vae import models
from tf_sigma_vae.evaluation import activity, information
from tf_sigma_vae.evaluation._posteriors import Draws

tfd = tfp.distributions

INTERVALS = ("mutual_information", "marginal_kl", "total_correlation", "dimension_kl")
# Sums of float64 numbers of some 10 nats in another order.
ROUNDING = 1e-11
# The jackknife takes three terms of a series, short by 4 % at worst.
SERIES = 0.04
# Shares of 1 / S each: the fourth term is (1 / S)^4, and all that the standard error consists of.
SERIES_OF_EQUALS = 1e-6
# Batches of other sizes may round float32 sums otherwise.
FLOAT32 = 1e-5
NUM_EXAMPLES = 40


def draws(num_examples=NUM_EXAMPLES, latent_size=3, width=0.4, seed=0):
    """Posteriors of unequal places and widths, and a draw of each."""
    rng = np.random.default_rng(seed)
    loc = rng.normal(size=(num_examples, latent_size)) * np.linspace(1.5, 0.5, latent_size)
    scale = width * np.exp(0.5 * rng.normal(size=loc.shape))
    return Draws(loc, scale, loc + scale * rng.normal(size=loc.shape))


def direct_bounds(loc, scale, z):
    """The two bounds of I(x; z), by SciPy and with all pairs at once."""
    num_examples = len(loc)
    pairs = scipy.stats.norm(loc, scale).logpdf(z[:, np.newaxis]).sum(axis=-1)
    own = np.diagonal(pairs)
    others = pairs + np.where(np.eye(num_examples), -np.inf, 0.0)
    return {
        "inclusive": np.mean(own - logsumexp(pairs, axis=1)) + np.log(num_examples),
        "leave_one_out": np.mean(own - logsumexp(others, axis=1)) + np.log(num_examples - 1),
    }


def values(found):
    """All numbers of a record but the protocol's, in one array."""
    numbers = []

    def collect(item):
        if isinstance(item, dict):
            item = list(item.values())
        if isinstance(item, list | tuple):
            for part in item:
                collect(part)
        elif not isinstance(item, str):
            numbers.append(float(item))

    collect(found._replace(protocol={}))
    return np.array(numbers)


@pytest.mark.parametrize("width", [2.0, 0.4, 1e-3])
def test_bounds_are_those_of_the_direct_computation(width):
    given = draws(width=width)
    bounds = information.posterior_information(*given).mutual_information.bounds
    for name, expected in direct_bounds(*given).items():
        assert bounds[name].value == pytest.approx(expected, rel=ROUNDING)


@pytest.mark.parametrize("width", [2.0, 0.4, 1e-3])
def test_errors_are_those_of_leaving_out_each_example_in_turn(width):
    given = draws(width=width)
    bounds = information.posterior_information(*given).mutual_information.bounds
    kept = ~np.eye(NUM_EXAMPLES, dtype=bool)
    deleted = [direct_bounds(*(a[row] for a in given)) for row in kept]
    for name in ("inclusive", "leave_one_out"):
        values_without = np.array([bound[name] for bound in deleted])
        expected = math.sqrt((NUM_EXAMPLES - 1) * values_without.var())
        # At the ceiling the inclusive bound is log S whatever the examples: its error is nothing.
        assert bounds[name].standard_error == pytest.approx(expected, rel=SERIES, abs=1e-9)


@pytest.mark.parametrize("block_size", [1, 7, NUM_EXAMPLES, 1000])
def test_blocks_change_nothing_but_rounding(block_size):
    expected = information.posterior_information(*draws())
    found = information.posterior_information(*draws(), block_size=block_size)
    np.testing.assert_allclose(values(found), values(expected), rtol=ROUNDING)
    assert found.protocol == expected.protocol


def test_the_order_of_the_examples_does_not_matter():
    order = np.random.default_rng(1).permutation(NUM_EXAMPLES)
    expected = information.posterior_information(*draws())
    found = information.posterior_information(*(a[order] for a in draws()))
    # The bootstrap of active_units numbers the examples.
    found, expected = (f._replace(active_units=f.active_units.value) for f in (found, expected))
    np.testing.assert_allclose(values(found), values(expected), rtol=ROUNDING)


def test_the_order_of_the_dimensions_does_not_matter():
    expected = information.posterior_information(*draws())
    found = information.posterior_information(*(a[:, ::-1] for a in draws()))
    rates = found.rate_by_dimension[::-1]
    np.testing.assert_allclose(
        values(found._replace(rate_by_dimension=rates)), values(expected), rtol=ROUNDING
    )


def test_information_does_not_depend_on_where_narrow_posteriors_lie():
    given = draws(width=1e-3)
    found = information.posterior_information(*given)
    # An expanded square would be of 1e16 here and lose all digits of exponents near 1.
    far = information.posterior_information(given.loc + 1e5, given.scale, given.z + 1e5)
    for name, bound in found.mutual_information.bounds.items():
        if name in ("inclusive", "leave_one_out"):
            shifted = far.mutual_information.bounds[name].value
            # What z itself loses: 1e-11 of a scale of 1e-3, times distances of 1e3 scales.
            assert shifted == pytest.approx(bound.value, rel=1e-5)


@pytest.mark.parametrize("seed", range(2))
def test_information_and_marginal_kl_sum_to_the_rate_of_the_sample(seed):
    found = information.posterior_information(*draws(seed=seed))
    assert found.mutual_information.bounds["rate"][:2] == pytest.approx(
        found.rate[:2], rel=ROUNDING
    )
    for name in ("inclusive", "leave_one_out", "moment"):
        parts = found.mutual_information.bounds[name], found.marginal_kl.bounds[name]
        assert sum(p.value for p in parts) == pytest.approx(found.rate.value, rel=ROUNDING)
    by_dimension = [r.value for r in found.rate_by_dimension]
    assert sum(by_dimension) == pytest.approx(found.rate.value, rel=ROUNDING)
    loc, scale, _ = draws(seed=seed)
    posterior = tfd.Normal(loc, scale)
    expected = tfd.kl_divergence(posterior, tfd.Normal(np.float64(0.0), np.float64(1.0)))
    np.testing.assert_allclose(by_dimension, np.mean(expected, axis=0), rtol=ROUNDING)


def test_total_correlation_and_the_dimensions_sum_to_the_marginal_kl():
    found = information.posterior_information(*draws())
    for name, other in (("inclusive", "leave_one_out"), ("leave_one_out", "inclusive")):
        parts = found.total_correlation.bounds[name], found.dimension_kl.bounds[other]
        expected = found.marginal_kl.bounds[name].value
        assert sum(p.value for p in parts) == pytest.approx(expected, rel=ROUNDING)


def test_the_dimensions_are_measured_alone():
    found = information.posterior_information(*draws()).dimension_kl
    alone = [
        information.posterior_information(*(a[:, [dim]] for a in draws())).marginal_kl
        for dim in range(3)
    ]
    for name, bound in found.bounds.items():
        expected = sum(one.bounds[name].value for one in alone)
        assert bound.value == pytest.approx(expected, rel=ROUNDING)


def test_one_dimension_has_no_total_correlation():
    found = information.posterior_information(*draws(latent_size=1)).total_correlation
    assert found.lower == 0.0
    assert found.bounds["inclusive"].value > 0.0 > found.bounds["leave_one_out"].value


@pytest.mark.parametrize("width", [1e-1, 1e-4, 1e-9])
def test_the_inclusive_bound_is_never_above_its_ceiling(width):
    found = information.posterior_information(*draws(width=width))
    ceiling = found.protocol["log_num_examples"]
    assert ceiling == math.log(NUM_EXAMPLES)
    assert 0.0 < found.mutual_information.bounds["inclusive"].value <= ceiling
    assert found.saturated


def test_more_examples_lift_the_saturation():
    # In one dimension of the prior's width; 40 examples are too few to tell, 640 are not.
    found = [information.posterior_information(*draws(n, 1, width=0.1)) for n in (40, 640)]
    assert [f.saturated for f in found] == [True, False]
    assert found[0].own_share.value > information.SATURATION_SHARE > found[1].own_share.value
    widths = [f.mutual_information.upper - f.mutual_information.lower for f in found]
    assert widths[0] > 2 * widths[1]


def test_the_own_share_is_that_of_the_direct_computation():
    loc, scale, z = draws()
    density = scipy.stats.norm(loc, scale).pdf(z[:, np.newaxis]).prod(axis=-1)
    expected = np.mean(np.diagonal(density) / density.sum(axis=1))
    found = information.posterior_information(loc, scale, z)
    assert found.own_share.value == pytest.approx(expected, rel=ROUNDING)


def test_equal_posteriors_hold_no_information():
    loc, scale = np.full([NUM_EXAMPLES, 2], [0.5, -1.0]), np.full([NUM_EXAMPLES, 2], [0.5, 2.0])
    z = loc + scale * np.random.default_rng(0).normal(size=loc.shape)
    found = information.posterior_information(loc, scale, z)
    for interval, truth in (
        (found.mutual_information, 0.0),
        (found.marginal_kl, found.rate.value),
        (found.total_correlation, 0.0),
        (found.dimension_kl, found.rate.value),
    ):
        assert interval.lower == pytest.approx(truth, abs=SERIES_OF_EQUALS)
        assert interval.upper == pytest.approx(truth, abs=SERIES_OF_EQUALS)
        assert interval.lower <= interval.upper
    assert not found.saturated
    assert found.active_units.value == 0.0


def test_ends_are_bounds_moved_outwards_by_their_errors():
    # Few and narrow: the leave-one-out bound is loose, and the moments set the end.
    found = information.posterior_information(*draws(width=0.05))
    moved = information.NUM_STANDARD_ERRORS
    assert moved == pytest.approx(2.2414, abs=1e-4)
    bounds = found.mutual_information.bounds
    lower = bounds["inclusive"].value - moved * bounds["inclusive"].standard_error
    assert found.mutual_information.lower == pytest.approx(lower)
    ends = {name: b.value + moved * b.standard_error for name, b in bounds.items()}
    assert found.mutual_information.upper == pytest.approx(ends["moment"])
    assert ends["moment"] < ends["leave_one_out"]


def test_the_record_is_fit_for_json():
    found = information.posterior_information(*draws(), seed=5)
    content = json.loads(json.dumps(information.to_dict(found), allow_nan=False))
    assert set(content) == set(information.Information._fields)
    for name in INTERVALS:
        assert set(content[name]) == {"lower", "upper", "bounds", "unit"}
        assert content[name]["unit"] == "nats"
        for bound in content[name]["bounds"].values():
            assert set(bound) == {"value", "standard_error", "unit"}
    assert [rate["unit"] for rate in content["rate_by_dimension"]] == ["nats"] * 3
    expected = {"num_examples": NUM_EXAMPLES, "latent_size": 3, "seed": 5, "confidence": 0.95}
    assert expected.items() <= content["protocol"].items()
    assert content["saturated"] is True


def test_active_units_are_those_of_the_evaluation():
    found = information.posterior_information(*draws())
    assert found.active_units == activity.active_units(draws().loc)


def test_progress_counts_every_example_once():
    counts = []
    information.posterior_information(*draws(), block_size=16, progress=counts.append)
    assert counts == [16, 16, 8]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d._replace(loc=d.loc[:, :2]), r"one shape \[S, L\]"),
        (lambda d: Draws(*(a[0] for a in d)), r"one shape \[S, L\]"),
        (lambda d: Draws(*(a[:, :0] for a in d)), r"one shape \[S, L\]"),
        (lambda d: Draws(d.loc[:, :1], d.scale[:, :1], d.loc[:, :1]), "z must be drawn.*got 0"),
        (lambda d: Draws(*(a[:31] for a in d)), "at least 32 examples, got 31"),
        (
            lambda d: Draws(*(np.tile(a, 2) for a in d)),
            "6 latent dimensions need at least 48 examples, got 40",
        ),
        (lambda d: d._replace(scale=d.scale - d.scale.min()), "scale must be positive, got 0.0"),
        (lambda d: d._replace(z=d.loc), "z must be drawn from the posteriors.*got 0"),
        (lambda d: d._replace(scale=d.scale**2), "z must be drawn from the posteriors"),
        (lambda d: d._replace(z=d.z[::-1]), "z must be drawn from the posteriors"),
    ],
)
def test_what_the_bounds_do_not_hold_for_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        information.posterior_information(*change(draws()))


@pytest.mark.parametrize(("name", "bad"), [("loc", np.nan), ("scale", np.inf), ("z", np.nan)])
def test_a_number_that_is_not_finite_is_an_error_of_its_own(name, bad):
    spoiled = draws()._replace(**{name: np.full_like(draws().loc, bad)})
    with pytest.raises(FloatingPointError, match=f"{name} is not finite everywhere"):
        information.posterior_information(*spoiled)


def test_an_impossible_block_is_refused():
    with pytest.raises(ValueError, match="block_size must be at least 1, got 0"):
        information.posterior_information(*draws(), block_size=0)


def levels(num_examples=NUM_EXAMPLES, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, size=(num_examples, *IMAGE_SHAPE[:2], 3), dtype=np.uint8)


def vae(**kwargs):
    return set_weights(tiny_vae("gaussian_shared", (*IMAGE_SHAPE[:2], 3), **kwargs))


@pytest.fixture(scope="module")
def model():
    return vae(seed=3)


@pytest.fixture(scope="module")
def output(model):
    return model(levels().astype(np.float32) / np.float32(255))


def test_the_draws_of_a_model_are_those_of_its_elbo(model, output):
    found = information.posterior_draws(model, levels(), global_batch_size=16)
    assert found.z.shape == (NUM_EXAMPLES, LATENT_SIZE)
    expected = Draws(output.posterior.mean(), output.posterior.stddev(), output.z)
    for name, array in found._asdict().items():
        np.testing.assert_allclose(array, getattr(expected, name), rtol=FLOAT32, atol=FLOAT32)


def test_the_information_of_a_model_is_that_of_its_draws(model, output):
    with eagerly():
        found = information.model_information(model, levels(), global_batch_size=16)
        draws_alone = information.posterior_draws(model, levels(), global_batch_size=16)
    expected = information.posterior_information(*draws_alone, seed=3)
    assert information.to_dict(found) == information.to_dict(expected)
    rate = output.rate.numpy().astype(np.float64)
    assert found.rate.value == pytest.approx(rate.mean(), rel=FLOAT32)
    by_dimension = np.mean(output.rate_groups, axis=0)
    assert [r.value for r in found.rate_by_dimension] == pytest.approx(by_dimension, rel=FLOAT32)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (levels()[:, :3], r"shape \(4, 6, 3\), got \(3, 6, 3\)"),
        (levels() / np.float32(255), "uint8"),
        (levels(31), "at least 32 examples, got 31"),
    ],
)
def test_images_that_a_model_does_not_take_are_refused(model, images, message):
    with pytest.raises(ValueError, match=message):
        information.model_information(model, images)


def test_a_posterior_or_prior_of_another_kind_is_refused(monkeypatch):
    model = vae()
    zeros = tf.zeros([LATENT_SIZE])
    wide = tfd.Independent(tfd.Normal(zeros, 2.0), 1)
    full = tfd.MultivariateNormalTriL(zeros, tf.eye(LATENT_SIZE))
    for kind, distribution, message in (
        ("prior", wide, "the prior must be standard normal"),
        ("prior", full, "the prior must be independent normal numbers"),
    ):
        with monkeypatch.context() as patch, pytest.raises(ValueError, match=message):
            patch.setattr(models.VAE, kind, property(lambda self, law=distribution: law))
            information.posterior_draws(model, levels())
    monkeypatch.setattr(model, "encode", lambda x: full)
    with pytest.raises(ValueError, match="the posterior must be independent normal numbers"):
        information.posterior_draws(model, levels())
