import numpy as np
import pytest

from tf_sigma_vae.data import _resize

# Rounding to grey levels, once each way.
ONE_LEVEL = 1


def test_crop_box_is_the_largest_centered_one_of_the_aspect():
    assert _resize.crop_box(width=10, height=4, size=(2, 2)) == (3, 0, 7, 4)
    assert _resize.crop_box(width=4, height=10, size=(1, 2)) == (0, 4, 4, 6)


def test_cropping_leaves_the_sides_out_and_squashing_does_not():
    # Black sides, white middle: 4 rows, 8 columns of which the middle 4 are white.
    x = np.zeros((1, 4, 8, 1), np.uint8)
    x[:, :, 2:6] = 255
    assert (_resize.fit_all(x, (4, 4), "crop") == 255).all()
    squashed = _resize.fit_all(x, (4, 4), "squash")[0, :, :, 0]
    assert (squashed[:, [0, 3]] < 128).all()
    assert (squashed[:, [1, 2]] > 128).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_shrinking_averages_over_all_pixels(channels):
    # A checkerboard is grey after antialiasing; picking pixels would leave it black and white.
    board = np.indices((16, 24)).sum(axis=0) % 2 * 255
    x = np.repeat(board[None, :, :, None], channels, axis=3).astype(np.uint8)
    small = _resize.fit_all(x, (4, 6), "squash")
    assert small.shape == (1, 4, 6, channels)
    assert np.abs(small[:, 1:-1, 1:-1].astype(int) - 127).max() <= 3 * ONE_LEVEL


def test_images_of_the_right_size_are_left_alone(images):
    x = images(2, 4, 6, 3)
    assert _resize.fit_all(x, None, "crop") is x
    assert _resize.fit_all(x, (4, 6), "crop") is x


def test_order_of_images_is_kept():
    x = np.arange(50, dtype=np.uint8)[:, None, None, None] * np.ones((1, 6, 8, 1), np.uint8)
    assert _resize.fit_all(x, (3, 4), "crop")[:, 0, 0, 0].tolist() == list(range(50))
