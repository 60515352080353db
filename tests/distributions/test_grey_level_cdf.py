import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
import tensorflow_probability as tfp

from tf_sigma_vae.distributions import (
    DiscretizedLogisticMixture,
    GreyLevelBits,
    GreyLevelCategorical,
    MarginalGaussian,
    StudentT,
    grey_level_cdf,
)

tfd = tfp.distributions

SHAPE = (2, 3, 4, 2)
LEVELS = [-1, 0, 1, 100, 254, 255]
ALL_LEVELS = np.arange(256)
# float64 sums of 256 terms; TFP's CDF of Student's t has a relative error of 1e-12.
FLOAT64 = 1e-11


def _parameters(seed=0):
    rng = np.random.default_rng(seed)
    loc = rng.uniform(size=SHAPE).astype(np.float32)
    return loc, rng.uniform(0.01, 0.5, size=SHAPE).astype(np.float32)


def _images(seed=1, shape=SHAPE):
    levels = np.random.default_rng(seed).integers(0, 256, size=shape)
    return (levels / 255.0).astype(np.float32)


def _at_edges(cdf):
    """The CDF of a level from that of a continuous value: 0 and 1 at the ends."""
    return [
        np.zeros(SHAPE) if k < 0 else np.ones(SHAPE) if k == 255 else cdf((k + 1) / 256)
        for k in LEVELS
    ]


def test_a_normal_has_its_cdf_at_the_right_edge_of_the_bin():
    loc, scale = _parameters()
    cdf = grey_level_cdf(tfd.Independent(tfd.Normal(loc, scale), 3), _images())
    expected = _at_edges(scipy.stats.norm(loc.astype(float), scale.astype(float)).cdf)
    for level, wanted in zip(LEVELS, expected, strict=True):
        assert cdf(level).dtype == tf.float64
        np.testing.assert_allclose(cdf(level), wanted, rtol=FLOAT64)


@pytest.mark.parametrize("kind", ["student_t", "marginal_gaussian"])
def test_heavy_tails_have_the_cdf_of_students_t(kind):
    loc, scale = _parameters()
    df = 2.5 if kind == "student_t" else 6.0
    if kind == "student_t":
        distribution = tfd.Independent(StudentT(df, loc, scale), 3)
    else:
        # a = df / 2 and b = a scale^2, one for each image.
        scale = np.broadcast_to(scale[:, :1, :1, :1], SHAPE)
        distribution = MarginalGaussian(loc, [3.0, 3.0], 3.0 * scale[:, 0, 0, 0] ** 2, 3)
    cdf = grey_level_cdf(distribution, _images())
    expected = _at_edges(scipy.stats.t(df, loc.astype(float), scale.astype(float)).cdf)
    for level, wanted in zip(LEVELS, expected, strict=True):
        # b is rounded to float32.
        np.testing.assert_allclose(cdf(level), wanted, rtol=1e-6)


@pytest.mark.parametrize(("kind", "size"), [(GreyLevelCategorical, 256), (GreyLevelBits, 8)])
def test_masses_on_levels_are_summed(kind, size):
    logits = 2.0 * np.random.default_rng(0).normal(size=(3, 2, size))
    distribution = kind(logits)
    values = (ALL_LEVELS / 255.0).reshape(-1, 1, 1)
    cumulative = np.cumsum(np.exp(distribution.log_prob(values)), axis=0)
    cdf = grey_level_cdf(tfd.Independent(distribution, 1), values[0])
    for level in ALL_LEVELS[::15]:
        np.testing.assert_allclose(cdf(level), cumulative[level], rtol=FLOAT64)
    assert np.all(cdf(-1).numpy() == 0.0) and np.all(cdf(255).numpy() == 1.0)


def _mixture():
    rng = np.random.default_rng(2)
    return DiscretizedLogisticMixture(
        rng.normal(size=(1, 3)),
        rng.uniform(size=(1, 2, 3)),
        rng.uniform(-4.0, -1.0, size=(1, 2, 3)),
        rng.uniform(-1.0, 1.0, size=(1, 1, 3)),
    )


def test_a_coupled_channel_has_its_cdf_given_the_channel_before():
    first, second = np.meshgrid(ALL_LEVELS / 255.0, ALL_LEVELS / 255.0, indexing="ij")
    joint = np.exp(_mixture().log_prob(np.stack([first, second], axis=-1)[:, :, None])[..., 0])
    given = 77
    x = np.array([[given / 255.0, 0.3]])
    cdf = grey_level_cdf(tfd.Independent(_mixture(), 0), x)
    found = np.array([cdf(level)[0] for level in ALL_LEVELS[::5]])
    marginal = np.cumsum(joint.sum(axis=1))
    conditional = np.cumsum(joint[given]) / joint[given].sum()
    # Masses of float64 log-sum-exps, summed over up to 65,536 values.
    np.testing.assert_allclose(found[:, 0], marginal[::5], rtol=1e-9)
    np.testing.assert_allclose(found[:, 1], conditional[::5], rtol=1e-9)
    assert np.max(np.abs(conditional - np.cumsum(joint.sum(axis=0)))) > 0.1


def test_levels_may_differ_from_element_to_element_and_be_traced():
    rng = np.random.default_rng(3)
    places = rng.integers(0, len(LEVELS), size=SHAPE)
    levels = np.array(LEVELS)[places]
    x, (loc, scale) = _images(), _parameters()
    distributions = [
        tfd.Independent(tfd.Normal(loc, scale), 3),
        tfd.Independent(GreyLevelCategorical(rng.normal(size=(*SHAPE, 256))), 3),
        tfd.Independent(GreyLevelBits(rng.normal(size=(*SHAPE, 8))), 3),
        tfd.Independent(
            DiscretizedLogisticMixture(
                rng.normal(size=(*SHAPE[:3], 4)),
                rng.uniform(size=(*SHAPE, 4)),
                rng.uniform(-4.0, -1.0, size=(*SHAPE, 4)),
                rng.uniform(size=(*SHAPE[:3], 1, 4)),
            ),
            2,
        ),
    ]
    for distribution in distributions:
        cdf = grey_level_cdf(distribution, x)
        single = np.stack([cdf(level) for level in LEVELS])
        expected = np.take_along_axis(single, places[None], axis=0)[0]

        @tf.function
        def traced(levels, distribution=distribution):
            return grey_level_cdf(distribution, x)(levels)

        np.testing.assert_allclose(cdf(levels), expected, rtol=FLOAT64)
        np.testing.assert_allclose(traced(tf.constant(levels)), expected, rtol=FLOAT64)


def test_what_has_no_cdf_of_elements_is_rejected():
    with pytest.raises(TypeError, match="no CDF of grey levels for Normal; wrap it in"):
        grey_level_cdf(tfd.Normal(0.0, 1.0), tf.zeros([1]))
