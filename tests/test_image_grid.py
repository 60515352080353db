import numpy as np
import pytest

from tests._models import IMAGE_SHAPE, set_weights, tiny_vae
from tf_sigma_vae import image_grid


def numbered(*leading, image_shape=IMAGE_SHAPE):
    """Images of one grey level each: 0, 1, 2 ..."""
    levels = np.arange(np.prod(leading), dtype=np.uint8).reshape(*leading, 1, 1, 1)
    return np.broadcast_to(levels, (*leading, *image_shape))


def assert_same_images(found, expected):
    """To one gray level: what other kernels compute may be rounded to a neighbor."""
    assert found.dtype == expected.dtype == np.uint8
    np.testing.assert_allclose(found.astype(int), expected.astype(int), atol=1)


def levels(num_examples):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, size=(num_examples, *IMAGE_SHAPE), dtype=np.uint8)


def test_grey_levels_are_rounded_and_clipped():
    found = image_grid.to_uint8([-0.5, 0.0, 0.6 / 255, 128 / 255, 1.0, 7.0])
    assert found.tolist() == [0, 0, 1, 128, 255, 255]
    assert found.dtype == np.uint8


def test_every_image_has_its_place_in_the_picture():
    images = numbered(2, 3)
    picture = image_grid.tile(images, gap=2)
    height, width, channels = IMAGE_SHAPE
    assert picture.shape == (2 * (height + 2) - 2, 3 * (width + 2) - 2, channels)
    expected = np.full(picture.shape, 255, np.uint8)
    for row in range(2):
        for column in range(3):
            top, left = row * (height + 2), column * (width + 2)
            expected[top : top + height, left : left + width] = images[row, column]
    np.testing.assert_array_equal(picture, expected)


@pytest.mark.parametrize("images", [numbered(2, 3).astype(np.float32), numbered(6)])
def test_what_is_no_grid_of_bytes_is_refused(images):
    with pytest.raises(ValueError, match="must be uint8"):
        image_grid.tile(images)


def test_the_last_row_is_filled_with_white():
    grid = image_grid.near_square(numbered(5))
    assert grid.shape == (2, 3, *IMAGE_SHAPE)
    np.testing.assert_array_equal(grid[:, :, 0, 0, 0], [[0, 1, 2], [3, 4, 255]])


def test_pixels_are_repeated():
    image = np.arange(24, dtype=np.uint8).reshape(3, 4, 2)
    large = image_grid.upscale(image, 3)
    assert large.shape == (9, 12, 2)
    np.testing.assert_array_equal(large[1::3, 2::3], image)
    np.testing.assert_array_equal(large[2::3, ::3], image)


@pytest.mark.parametrize(
    ("size", "factor"), [((8, 8), 8), ((28, 20), 3), ((64, 32), 1), ((99, 9), 1)]
)
def test_small_images_are_enlarged_to_be_readable(size, factor):
    assert image_grid.readable_factor((*size, 1)) == factor


def test_prior_images_show_the_same_z_with_and_without_noise():
    model = set_weights(tiny_vae("gaussian_fixed"))
    likelihood, noisy, _ = model.sample(5, seed=3)
    found = image_grid.prior_images(model, 5, seed=3)
    assert_same_images(found[0], image_grid.to_uint8(likelihood.mean()))
    assert_same_images(found[1], image_grid.to_uint8(noisy))
    assert np.any(found[0] != found[1])


def test_prior_grids_repeat_for_a_seed():
    model = set_weights(tiny_vae())
    first, again, other = (image_grid.prior_grid(model, 4, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.any(first != other)
    assert first.shape == (9, 13, 2)


def test_reconstructions_stand_below_their_originals():
    model, images = set_weights(tiny_vae()), levels(3)
    found = image_grid.reconstruction_images(model, images)
    x = images.astype(np.float32) / np.float32(255.0)
    np.testing.assert_array_equal(found[0], images)
    assert_same_images(found[1], image_grid.to_uint8(model(x).likelihood.mean()))
    np.testing.assert_array_equal(
        image_grid.reconstruction_grid(model, images), image_grid.tile(found[:2])
    )


def test_the_decoders_noise_follows_the_seed_and_the_scale():
    model, images = set_weights(tiny_vae("gaussian_fixed")), levels(3)
    first, again, other = (
        image_grid.reconstruction_images(model, images, seed)[2] for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert np.any(first != other)
    # At scale 1 a share of 2 (1 - Phi(1 / 2)) = 0.617 or more of the values is outside of the unit
    # interval; of 144 pixels fewer than 0.39 are once in 1e6 runs, by Hoeffding's inequality.
    assert np.mean((first == 0) | (first == 255)) > 0.35


def test_images_of_levels_stand_below_their_originals():
    model, images = set_weights(tiny_vae(network="ladder32")), levels(3)
    found = image_grid.level_images(model, images, temperature=0.5)
    np.testing.assert_array_equal(found[0], images)
    x = images.astype(np.float32) / np.float32(255.0)
    ids = model.posterior_noise_ids(x, training=False)
    means = model.reconstructions_by_level(x, ids, temperature=0.5)
    assert_same_images(found[1:], image_grid.to_uint8(means))
    assert found.shape == (model.num_levels + 2, *images.shape)
