import numpy as np
import pytest

from tests._models import set_weights, tiny_vae
from tf_sigma_vae import image_grid
from tf_sigma_vae.evaluation.fid import images
from tf_sigma_vae.likelihoods import GaussianFixed, GaussianOptimal, NotCalibratedError

SHAPE = (4, 6, 1)
MANY = images.CHUNK + 5


@pytest.fixture(scope="module")
def model():
    return set_weights(tiny_vae(GaussianFixed(scale=0.2), SHAPE), scale=0.8)


def drawn(model, num_samples=MANY, **options):
    return np.concatenate(list(images.prior_samples(model, num_samples, **options)))


def test_means_are_those_of_the_model_rounded_to_grey_levels(model):
    likelihood, _, _ = model.sample(MANY, seed=3)
    expected = image_grid.to_uint8(likelihood.mean()).astype(int)
    # In batches of another size a mean may round to the other of two levels.
    found = drawn(model, draw="mean", seed=3).astype(int)
    np.testing.assert_allclose(found, expected, atol=1)
    assert np.mean(found != expected) < 0.01


def test_noisy_samples_are_draws_around_the_means_of_the_same_z(model):
    many = 4 * images.CHUNK
    mean = drawn(model, many, draw="mean", eight_bit=False) / 255.0
    noisy = drawn(model, many, draw="noisy", eight_bit=False) / 255.0
    residual = np.abs(noisy - mean)[np.abs(mean - 0.5) < 0.1]
    # Half of the absolute residuals are below 0.674 scales, clipped or not; the median of 500 is
    # known to 5 %.
    assert residual.size > 500
    assert np.median(residual) == pytest.approx(0.674 * 0.2, rel=0.3)


def test_noise_differs_between_batches(model):
    noise = [
        drawn(model, 2 * images.CHUNK, draw=draw, eight_bit=False).astype(np.float64)
        for draw in ("noisy", "mean")
    ]
    first, second = np.split(noise[0] - noise[1], 2)
    # Of 1,536 pairs: a standard deviation of 0.026.
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.3


@pytest.mark.parametrize("draw", ["mean", "noisy"])
def test_samples_repeat_for_a_seed_and_the_first_do_not_depend_on_their_number(model, draw):
    given = images.prior_samples(model, MANY, draw, seed=1)
    first, again = (np.concatenate(list(given)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(first[:7], drawn(model, 7, draw=draw, seed=1))
    assert np.any(first != drawn(model, draw=draw, seed=2))


def test_samples_come_in_batches_of_grey_levels(model):
    sizes = [len(batch) for batch in images.prior_samples(model, MANY)]
    assert sizes == [images.CHUNK, 5]
    assert drawn(model).dtype == np.uint8
    exact = drawn(model, eight_bit=False)
    assert exact.dtype == np.float32
    assert np.any(exact != np.round(exact))
    np.testing.assert_array_equal(np.rint(exact).astype(np.uint8), drawn(model))


def test_values_outside_of_the_range_are_clipped(model):
    noisy = drawn(model, draw="noisy", eight_bit=False)
    assert noisy.min() == 0.0 and noisy.max() == 255.0


def test_source_says_what_was_drawn(model):
    found = images.prior_samples(model, 9, "noisy", seed=4, eight_bit=False).source
    assert found == images.Source("noisy", 9, SHAPE, False, seed=4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_samples": 0}, "num_samples must be at least 1, got 0"),
        ({"draw": "data"}, "'mean' or 'noisy', got 'data'"),
        ({"seed": -1}, "seed must not be negative, got -1"),
    ],
)
def test_what_cannot_be_drawn_is_refused_at_once(model, options, message):
    with pytest.raises(ValueError, match=message):
        images.prior_samples(model, **{"num_samples": 3, **options})


def test_a_model_without_a_scale_is_refused_at_once():
    with pytest.raises(NotCalibratedError):
        images.prior_samples(tiny_vae(GaussianOptimal(), SHAPE), 3)


def levels(num_images, shape=SHAPE):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, size=(num_images, *shape), dtype=np.uint8)


def test_a_dataset_comes_in_batches_in_its_order():
    given = levels(MANY)
    found = images.dataset_images(given, "digits", "test")
    assert [len(batch) for batch in found] == [images.CHUNK, 5]
    np.testing.assert_array_equal(np.concatenate(list(found)), given)
    assert found.source == images.Source("data", MANY, SHAPE, True, "digits", "test")


@pytest.mark.parametrize(
    "given", [np.zeros((3, 4, 6, 1), np.float32), np.zeros((4, 6, 1), np.uint8), levels(0)]
)
def test_what_is_no_dataset_is_refused(given):
    with pytest.raises(ValueError, match=r"images must be uint8 \[N, H, W, C\]"):
        images.dataset_images(given)


def content_hash(given):
    return images.with_content_hash(images.dataset_images(given)).content_hash


def test_content_hash_is_of_the_pixels_their_order_and_their_shape():
    given = levels(MANY)
    reference = content_hash(given)
    other = given.copy()
    other[-1, 0, 0, 0] ^= 1
    assert content_hash(given.copy()) == reference
    changed = [other, given[::-1], given[:-1], given.reshape(MANY, 6, 4, 1)]
    assert len({reference, *map(content_hash, changed)}) == 5


def test_content_hash_does_not_depend_on_the_batches():
    given, content = levels(9), images.ContentHash()
    for start in (0, 2, 4, 6, 8):
        content.update(given[start : start + 2])
    assert content.hexdigest() == content_hash(given)
