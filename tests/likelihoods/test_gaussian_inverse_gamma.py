import keras
import numpy as np
import pytest
import scipy.integrate
import scipy.optimize
import scipy.special
import scipy.stats
import tensorflow as tf

from tests._models import images, tiny_vae
from tf_sigma_vae import distributions, likelihoods, objectives
from tf_sigma_vae.likelihoods import NotCalibratedError, _inverse_gamma

BATCH, DIMS = 3, 48
FLOAT32 = 5e-5
HALF_GREY_LEVEL = 1 / 510
TRUE_A, TRUE_B = 3.5, 0.04
NO_FLOOR = 1e-6
NUM_STANDARD_ERRORS = 5.5
# Of the soft clip of log(a - 1).
LOG_EXCESS_MIN, LOG_EXCESS_MAX = np.log(1e-3), np.log(1e4)


def _params(seed=1, num=BATCH):
    scales = np.linspace(0.2, 3.0, num).reshape(-1, 1, 1, 1)
    return (scales * np.random.default_rng(seed).normal(size=(num, 4, 6, 2))).astype(np.float32)


def _squared_errors(x, params):
    loc = 1.0 / (1.0 + np.exp(-params.astype(np.float64)))
    return np.sum((x - loc) ** 2, axis=(1, 2, 3))


def _simulated_images(num, a=TRUE_A, b=TRUE_B, seed=0):
    """Images `[num, 4, 6, 2]` around 0, each with a variance of its own."""
    rng = np.random.default_rng(seed)
    variance = b / rng.gamma(a, size=(num, 1, 1, 1))
    return (np.sqrt(variance) * rng.normal(size=(num, 4, 6, 2))).astype(np.float32)


def _trained(a=2.0, scale=0.1, **options):
    """A `"trained"` likelihood with the given concentration and standard deviation."""
    likelihood = likelihoods.GaussianInverseGamma("trained", scale, NO_FLOOR, **options)
    likelihood.ensure_built((None, 4, 6, 2))
    likelihood.raw_log_concentration.assign(_raw_log_concentration(a))
    return likelihood


def _concentration(raw):
    log_excess = LOG_EXCESS_MAX - np.logaddexp(0.0, LOG_EXCESS_MAX - raw)
    return 1.0 + np.exp(LOG_EXCESS_MIN + np.logaddexp(0.0, log_excess - LOG_EXCESS_MIN))


def _raw_log_concentration(a):
    return scipy.optimize.brentq(lambda raw: _concentration(raw) - a, -20.0, 20.0)


def _log_integral(error, a, b, dims=DIMS):
    """log of the Gaussian integrated over its variance, by quadrature over the log variance."""

    def log_integrand(log_variance):
        v = np.exp(log_variance)
        gaussian = -0.5 * error / v - dims / 2 * np.log(2 * np.pi * v)
        return gaussian + scipy.stats.invgamma.logpdf(v, a, scale=b) + log_variance

    peak = np.log((b + error / 2) / (a + dims / 2))
    top = log_integrand(peak)
    integral = scipy.integrate.quad(
        lambda p: np.exp(log_integrand(p) - top), peak - 6, peak + 6, points=[peak], limit=200
    )[0]
    return top + np.log(integral)


@pytest.mark.parametrize(("a", "scale"), [(1.5, 0.3), (2.0, 0.1), (40.0, 0.5)])
def test_trained_log_prob_is_the_gaussian_integrated_over_the_variance(a, scale):
    x, params = images(BATCH), _params()
    likelihood = _trained(a, scale)
    for training in (False, True):
        distribution = likelihood.distribution(params, x, training=training)
        assert isinstance(distribution, distributions.MarginalGaussian)
        b = (a - 1.0) * scale**2
        expected = [_log_integral(error, a, b) for error in _squared_errors(x, params)]
        np.testing.assert_allclose(distribution.log_prob(x), expected, rtol=FLOAT32, atol=2e-3)
    np.testing.assert_allclose(likelihood.log_scale(distribution), np.log(scale), atol=1e-3)


def test_fitted_training_log_prob_is_the_marginal_of_the_batchs_moments():
    x, params = images(BATCH), _params()
    likelihood = likelihoods.GaussianInverseGamma()
    distribution = likelihood.distribution(params, x, training=True)
    assert isinstance(distribution, distributions.MarginalGaussian)
    variances = _squared_errors(x, params) / DIMS + HALF_GREY_LEVEL**2
    a = 2.0 + variances.mean() ** 2 / variances.var()
    b = (a - 1.0) * variances.mean()
    assert float(distribution.concentration) == pytest.approx(a, rel=1e-3)
    expected = [_log_integral(error, a, b) for error in _squared_errors(x, params)]
    np.testing.assert_allclose(distribution.log_prob(x), expected, rtol=1e-4, atol=5e-3)


def test_density_of_a_one_pixel_image_integrates_to_one():
    likelihood = _trained(1.7, 0.2, loc_activation="linear")
    u = np.linspace(-12.0, 12.0, 2001)
    x = (0.3 + 0.1 * np.sinh(u)).astype(np.float32).reshape(-1, 1, 1, 1)
    distribution = likelihood.distribution(np.full_like(x, 0.3))
    density = np.exp(distribution.log_prob(x).numpy().astype(float))
    integral = scipy.integrate.simpson(density * 0.1 * np.cosh(u), x=u)
    assert integral == pytest.approx(1.0, abs=1e-4)


def test_masses_of_a_one_pixel_image_sum_to_one():
    raw_locs = np.array([-50.0, 0.3, 50.0], np.float32)
    x = np.tile((np.arange(256) / 255).astype(np.float32), len(raw_locs)).reshape(-1, 1, 1, 1)
    likelihood = _trained(4.0, 0.1)
    distribution = likelihood.distribution(np.repeat(raw_locs, 256).reshape(-1, 1, 1, 1))
    log_mass = likelihood.bin_log_mass(distribution, x).numpy()
    assert np.all(np.isfinite(log_mass)) and np.all(log_mass <= 0.0)
    # The quadrature of each level covers 9 deviations around the variance it calls for; the open
    # bins have tails beyond.
    sums = np.exp(scipy.special.logsumexp(log_mass.reshape(-1, 256), axis=1))
    np.testing.assert_allclose(sums, 1.0, atol=1e-3)


def test_quantized_samples_follow_the_bin_masses():
    num, likelihood = 20_000, _trained(3.0, 0.05)
    samples = likelihood.distribution(np.full((num, 1, 1, 1), -2.2, np.float32)).sample(seed=[1, 2])
    levels = np.clip(np.floor(256 * samples.numpy().ravel()), 0, 255).astype(int)
    x = (np.arange(256) / 255).astype(np.float32).reshape(-1, 1, 1, 1)
    distribution = likelihood.distribution(np.full_like(x, -2.2))
    expected = num * np.exp(likelihood.bin_log_mass(distribution, x).numpy())
    # Neighboring levels together, so that ten are expected in each group.
    group = np.floor(np.cumsum(expected) / 10.0).astype(int)
    counts = np.bincount(levels, minlength=256)
    observed, theory = (np.bincount(group, v) for v in (counts, expected))
    kept = theory > 0
    theory *= num / theory.sum()
    assert counts[0] > 100
    # A correct sampler fails in less than one of 1e6 runs.
    assert scipy.stats.chisquare(observed[kept], theory[kept]).pvalue > 1e-6


@pytest.mark.parametrize(("scale", "gap"), [(0.004, None), (0.08, 2e-3)])
def test_bits_per_dim_by_mass_and_by_density_meet_as_the_scale_grows(scale, gap):
    num, rng, likelihood = 100, np.random.default_rng(5), _trained(3.0, scale)
    levels = rng.integers(110, 146, size=(num, 4, 6, 2))
    dequantized = ((levels + rng.uniform(size=levels.shape)) / 256).astype(np.float32)
    # A location at the middle of the image's own level, off by the scale.
    loc = (levels + 0.5) / 256 + scale * rng.normal(size=levels.shape)
    distribution = likelihood.distribution(np.log(loc / (1.0 - loc)).astype(np.float32))
    log_mass = likelihood.bin_log_mass(distribution, (levels / 255).astype(np.float32))
    by_mass = objectives.bits_per_dim(-log_mass, DIMS, "mass")
    nll = -tf.cast(distribution.log_prob(dequantized), tf.float64)
    difference = (objectives.bits_per_dim(nll, DIMS, "density") - by_mass).numpy()
    standard_error = difference.std() / np.sqrt(num)
    if gap is None:
        # The density pays for what it cannot know inside a bin of a gray level. Found: 0.062.
        assert difference.mean() > 0.01
    else:
        assert abs(difference.mean()) < gap + NUM_STANDARD_ERRORS * standard_error


def test_gradient_is_that_of_a_gaussian_with_the_variance_of_the_posterior():
    x, params = images(BATCH), tf.Variable(_params())
    for likelihood in (_trained(2.0, 0.1), likelihoods.GaussianInverseGamma()):
        with tf.GradientTape() as tape:
            distribution = likelihood.distribution(params, x, training=True)
            nll = -distribution.log_prob(x)
        a, b = float(distribution.concentration), float(distribution.scale)
        variance = (b + _squared_errors(x, params.numpy()) / 2) / (a + DIMS / 2)
        loc = tf.sigmoid(params).numpy()
        expected = (loc - x) / variance.reshape(-1, 1, 1, 1) * loc * (1.0 - loc)
        np.testing.assert_allclose(tape.gradient(nll, params), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("a", [1.2, 3.0, 500.0])
def test_gradients_in_the_trained_weights_equal_finite_differences(a):
    likelihood, x, params = _trained(a, 0.3), images(BATCH), _params()

    def gradients():
        with tf.GradientTape() as tape:
            log_prob = likelihood.distribution(params).log_prob(x)
        return tape.gradient(log_prob, likelihood.trainable_variables)

    errors, found, step = _squared_errors(x, params), [float(g) for g in gradients()], 1e-4

    def log_prob(log_scale, raw_log_concentration):
        a = _concentration(raw_log_concentration)
        b = (a - 1.0) * np.exp(2.0 * log_scale)
        gammas = scipy.special.gammaln(a + DIMS / 2) - scipy.special.gammaln(a)
        tail = a * np.log(b) - (a + DIMS / 2) * np.log(b + errors / 2)
        return np.sum(gammas + tail)

    point = np.array([np.log(0.3), _raw_log_concentration(a)])
    expected = scipy.optimize.approx_fprime(point, lambda p: log_prob(*p), step)
    names = [weight.name for weight in likelihood.trainable_variables]
    assert names == ["log_scale", "log_concentration"]
    np.testing.assert_allclose(found, expected, rtol=2e-3, atol=2e-2)


@pytest.mark.parametrize("raw_log_concentration", [-1e3, 0.0, 1e3])
@pytest.mark.parametrize("raw_log_scale", [-1e3, 0.0])
def test_extreme_weights_give_finite_values_and_gradients(raw_log_concentration, raw_log_scale):
    likelihood, x = likelihoods.GaussianInverseGamma("trained"), images(BATCH)
    likelihood.ensure_built((None, 4, 6, 2))
    likelihood.raw_log_concentration.assign(raw_log_concentration)
    likelihood.raw_log_scale.assign(raw_log_scale)
    # An exact reconstruction, and one as bad as can be.
    params = tf.Variable(np.full((2, 4, 6, 2), 90.0, np.float32))
    target = np.concatenate([np.ones_like(x[:1]), np.zeros_like(x[:1])])
    with tf.GradientTape() as tape:
        distribution = likelihood.distribution(params)
        log_prob = distribution.log_prob(target)
    variables = [params, *likelihood.trainable_variables]
    assert np.all(np.isfinite(log_prob.numpy()))
    assert all(np.all(np.isfinite(g.numpy())) for g in tape.gradient(log_prob, variables))
    assert float(distribution.concentration) > 1.0
    assert np.all(distribution.stddev().numpy() >= 0.99 * HALF_GREY_LEVEL)


def _descend(likelihood, variables, params, x, num_steps):
    """Trains by the likelihood alone; `params` is called in each step."""
    optimizer = keras.optimizers.Adam(0.05)
    likelihood.ensure_built((None, 4, 6, 2))
    variables = [*variables, *likelihood.trainable_variables]

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = -tf.reduce_mean(likelihood.distribution(params(), x, True).log_prob(x))
        optimizer.apply(tape.gradient(loss, variables), variables)

    for _ in range(num_steps):
        step()


def test_trained_weights_reach_the_maximum_likelihood_fit_from_the_default_start():
    x = _simulated_images(2000)
    errors = np.sum(x.astype(np.float64) ** 2, axis=(1, 2, 3))
    a, b = _inverse_gamma.fit(errors, DIMS)
    likelihood = likelihoods.GaussianInverseGamma("trained", loc_activation="linear")
    params = tf.zeros_like(x)
    _descend(likelihood, [], lambda: params, x, num_steps=400)
    distribution = likelihood.distribution(params)
    assert float(distribution.concentration) == pytest.approx(a, rel=1e-2)
    assert float(distribution.scale) == pytest.approx(b, rel=1e-2)
    fitted = likelihoods.GaussianInverseGamma(floor=NO_FLOOR, loc_activation="linear")
    fitted.calibrate(errors, DIMS, step=0)
    np.testing.assert_allclose(
        distribution.log_prob(x), fitted.distribution(params).log_prob(x), atol=0.05
    )


@pytest.mark.parametrize(("estimation", "initial_scale"), [("fitted", 0.1), ("trained", 0.003)])
def test_locations_are_learned_whatever_the_start(estimation, initial_scale):
    """The variance adapts to each image by itself, so that a wrong start stops nothing."""
    truth = np.random.default_rng(9).normal(size=(4, 6, 2)).astype(np.float32)
    x = _simulated_images(200) + truth
    likelihood = likelihoods.GaussianInverseGamma(
        estimation, initial_scale, loc_activation="linear"
    )
    loc = tf.Variable(tf.zeros([4, 6, 2]))
    _descend(likelihood, [loc], lambda: tf.broadcast_to(loc, x.shape), x, num_steps=200)
    # The standard error of a location is 0.13 / sqrt(200) = 0.009. Found: 0.015.
    assert np.max(np.abs(loc.numpy() - truth)) < 0.06


def test_fitted_keeps_the_moving_moments_and_calibrates_by_maximum_likelihood():
    x, params = images(BATCH), _params()
    fitted = likelihoods.GaussianInverseGamma()
    reference = likelihoods.GaussianOptimalPerImage()
    for likelihood in (fitted, reference):
        likelihood.distribution(params, x, training=True)
    assert fitted.provenance() == {"source": "moving_average", "num_updates": 1}
    assert not fitted.trainable_variables

    def same():
        pair = [likelihood.distribution(params).log_prob(x) for likelihood in (fitted, reference)]
        np.testing.assert_array_equal(*pair)

    same()
    errors = np.sum(_simulated_images(500).astype(float) ** 2, axis=(1, 2, 3))
    for likelihood in (fitted, reference):
        likelihood.calibrate(errors, DIMS, step=7)
    same()
    a, b = _inverse_gamma.fit(errors + DIMS * HALF_GREY_LEVEL**2, DIMS)
    assert float(fitted.distribution(params).concentration) == pytest.approx(a, rel=1e-6)
    assert float(fitted.distribution(params).scale) == pytest.approx(b, rel=1e-6)
    assert fitted.provenance() == {"source": "calibrate", "num_examples": 500, "step": 7}
    assert fitted.calibration_statistic(params, x).shape == (BATCH,)


def test_what_needs_calibration_depends_on_the_instance():
    fitted, trained = (likelihoods.GaussianInverseGamma(e) for e in ("fitted", "trained"))
    assert fitted.needs_calibration and not trained.needs_calibration
    with pytest.raises(NotCalibratedError, match="GaussianInverseGamma holds no scale yet"):
        fitted.distribution(_params())
    with pytest.raises(ValueError, match="GaussianInverseGamma needs x in training"):
        fitted.distribution(_params(), training=True)
    trained.require_scale()
    assert trained.distribution(_params(), training=True).batch_shape == (BATCH,)
    assert trained.provenance() == {"source": "weights"}
    with pytest.raises(TypeError, match="GaussianInverseGamma has no analytic scale"):
        trained.calibrate(np.ones(3), DIMS, 0)
    with pytest.raises(TypeError, match="GaussianInverseGamma has no analytic scale"):
        trained.calibration_statistic(_params(), images(BATCH))
    # The plug-in scale of the evaluated images is another method's figure.
    assert not hasattr(fitted, "plug_in_distribution")


def test_trained_model_fits_in_bfloat16_with_float32_weights(tmp_path):
    model = tiny_vae(likelihoods.GaussianInverseGamma("trained"), dtype="mixed_bfloat16")
    model.compile(keras.optimizers.Adam(1e-2), run_eagerly=True)
    history = model.fit(images(4), batch_size=4, verbose=0).history
    assert all(np.all(np.isfinite(values)) for values in history.values())
    assert all(weight.dtype == "float32" for weight in model.likelihood.weights)
    assert float(model.likelihood.raw_log_scale.numpy()) != pytest.approx(np.log(0.1), abs=1e-4)
    # Without calibration it evaluates, and it is saved with its weights.
    model.save(tmp_path / "model.keras")
    restored = keras.saving.load_model(tmp_path / "model.keras").likelihood
    assert restored.estimation == "trained" and not restored.needs_calibration
    for mine, other in zip(model.likelihood.weights, restored.weights, strict=True):
        np.testing.assert_array_equal(mine.numpy(), other.numpy())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"estimation": "learned"}, "estimation must be one of .*, got 'learned'"),
        ({"initial_scale": 0.0}, "initial_scale must be a positive number, got 0.0"),
        ({"floor": -1.0}, "floor must be a positive number, got -1.0"),
        ({"momentum": 1.0}, "momentum must lie in"),
        ({"loc_activation": "tanh"}, "got 'tanh'"),
    ],
)
def test_wrong_options_are_rejected(options, message):
    with pytest.raises(ValueError, match=message):
        likelihoods.GaussianInverseGamma(**options)


def test_config_round_trip_keeps_every_option():
    likelihood = likelihoods.GaussianInverseGamma("trained", 0.3, 0.01, 0.5, "linear")
    restored = likelihoods.GaussianInverseGamma.from_config(likelihood.get_config())
    names = ("estimation", "initial_scale", "floor", "momentum", "loc_activation")
    assert [getattr(restored, name) for name in names] == ["trained", 0.3, 0.01, 0.5, "linear"]
    assert restored.value_range is None and not restored.needs_calibration
