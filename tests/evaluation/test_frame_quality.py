import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage, signal

from tf_sigma_vae.evaluation import frame_quality

# Two batch axes; height, width and channels all differ.
SHAPE = (2, 3, 14, 19, 3)
# Variances as differences of float32 means of squares, over C2 = 9e-4.
FLOAT32 = 5e-4
# Where the variances are 0 their errors, of 7e-7, are all there is beside C2.
FLAT = 2e-3
PSNR = 1e-5


def pairs(noise=0.1, shape=SHAPE, seed=0):
    """Smooth frames of 8 bits, and noisy ones in [0, 1]."""
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.normal(size=shape), (0, 0, 2, 2, 0)[-len(shape) :])
    smooth = (smooth - smooth.min()) / np.ptp(smooth)
    x = np.round(255.0 * smooth).astype(np.uint8)
    noisy = np.clip(x / 255.0 + noise * rng.normal(size=shape), 0.0, 1.0)
    return x, noisy.astype(np.float32)


def expected_psnr(x, y):
    return 10.0 * np.log10(1.0 / ((x - y) ** 2).mean(axis=(-3, -2, -1)))


def expected_ssim(x, y, window=None, peak=1.0, unbiased=False):
    """Of single images `[H, W]`, by convolution with a window, that of Wang et al. by default."""
    if window is None:
        distance = np.arange(11) - 5
        line = np.exp(-(distance**2) / (2 * 1.5**2))
        window = np.outer(line, line) / line.sum() ** 2

    def mean(values):
        return signal.convolve2d(values, window, mode="valid")

    factor = window.size / (window.size - 1) if unbiased else 1.0
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    mean_x, mean_y = mean(x), mean(y)
    var_x, var_y, cov = (
        factor * (mean(a * b) - mean(a) * mean(b)) for a, b in ((x, x), (y, y), (x, y))
    )
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    return np.mean(luminance * (2 * cov + c2) / (var_x + var_y + c2))


def over_frames(x, y, **options):
    """Means over channels of `expected_ssim`, of each frame."""
    x, y = (np.moveaxis(v.reshape(-1, *v.shape[-3:]), -1, 1) for v in (x, y))
    return np.array(
        [
            np.mean([expected_ssim(a, b, **options) for a, b in zip(*frame, strict=True)])
            for frame in zip(x, y, strict=True)
        ]
    )


@pytest.mark.parametrize("noise", [0.01, 0.1, 0.5])
def test_psnr_is_that_of_float64(noise):
    x, y = pairs(noise)
    found = frame_quality.psnr(x, y)
    assert found.shape == SHAPE[:2] and found.dtype == tf.float32
    np.testing.assert_allclose(found, expected_psnr(x / 255.0, y.astype(float)), rtol=PSNR)


def test_an_error_of_a_tenth_is_twenty_decibels_and_none_is_infinite():
    x = np.full((1, 3, 4, 1), 0.25, np.float32)
    np.testing.assert_allclose(frame_quality.psnr(x, x + 0.1), [20.0], rtol=PSNR)
    assert np.isposinf(frame_quality.psnr(x, x))


@pytest.mark.parametrize("noise", [0.01, 0.1, 0.5])
@pytest.mark.parametrize("shape", [SHAPE, (4, 11, 12, 1)])
def test_ssim_is_that_of_float64_with_gaussian_windows(noise, shape):
    x, y = pairs(noise, shape)
    found = frame_quality.ssim(x, y)
    assert found.shape == shape[:-3] and found.dtype == tf.float32
    expected = over_frames(x / 255.0, y.astype(float)).reshape(shape[:-3])
    np.testing.assert_allclose(found, expected, rtol=FLOAT32)


def test_ssim_of_copies_is_one_and_of_flat_frames_that_of_their_means():
    x, _ = pairs()
    np.testing.assert_allclose(frame_quality.ssim(x, x), np.ones(SHAPE[:2]), rtol=FLOAT32)
    low, high = (np.full((1, 11, 11, 2), value, np.float32) for value in (0.2, 0.7))
    expected = (2 * 0.2 * 0.7 + 1e-4) / (0.2**2 + 0.7**2 + 1e-4)
    np.testing.assert_allclose(frame_quality.ssim(low, high), [expected], rtol=FLAT)


def test_ssim_of_an_inverted_frame_is_negative():
    x, _ = pairs()
    assert np.all(frame_quality.ssim(x, 255 - x) < 0.0)


def test_equal_weights_and_a_guessed_range_of_two_give_larger_figures():
    """What the published evaluation of SVG computes: not to be mixed with these."""
    x, y = pairs(0.1)
    published = over_frames(
        x / 255.0, y.astype(float), window=np.full((7, 7), 1 / 49), peak=2.0, unbiased=True
    )
    assert np.all(published > frame_quality.ssim(x, y).numpy().ravel() + 0.02)


@pytest.mark.parametrize("quality", [frame_quality.psnr, frame_quality.ssim])
def test_bytes_and_floats_of_either_width_are_the_same_frames(quality):
    x, y = pairs()
    bytes_of_y = np.round(255.0 * y).astype(np.uint8)
    expected = quality(x, bytes_of_y).numpy()
    for first in (x, x / 255.0, (x / 255.0).astype(np.float32)):
        np.testing.assert_allclose(quality(first, bytes_of_y / 255.0), expected, rtol=1e-4)


@pytest.mark.parametrize("quality", [frame_quality.psnr, frame_quality.ssim])
def test_frames_are_independent_and_the_order_of_the_two_does_not_matter(quality):
    x, y = pairs()
    before, changed = quality(x, y).numpy(), y.copy()
    changed[1, 0] = 1.0 - changed[1, 0]
    after = quality(x, changed).numpy()
    others = np.ones(SHAPE[:2], bool)
    others[1, 0] = False
    np.testing.assert_allclose(after[others], before[others], rtol=FLOAT32)
    assert after[1, 0] < before[1, 0]
    np.testing.assert_allclose(quality(y, x), before, rtol=FLOAT32)


@pytest.mark.parametrize("quality", [frame_quality.psnr, frame_quality.ssim])
def test_unknown_batch_sizes_give_the_eager_values(quality):
    x, y = pairs()
    spec = [tf.TensorSpec([None, None, *SHAPE[2:]], d) for d in (tf.uint8, tf.float32)]
    found = tf.function(quality, input_signature=spec)(x, y)
    np.testing.assert_allclose(found, quality(x, y), rtol=FLOAT32)


@pytest.mark.parametrize("quality", [frame_quality.psnr, frame_quality.ssim])
def test_what_are_no_frames_of_one_shape_is_refused(quality):
    x = np.zeros((2, 12, 13, 1), np.float32)
    with pytest.raises(ValueError, match=r"have shape \(2, 12, 13, 1\), those .* \(2, 12, 13, 3\)"):
        quality(x, np.zeros((2, 12, 13, 3), np.float32))
    with pytest.raises(ValueError, match=r"must be \[..., H, W, C\] of known .* got \(12, 13\)"):
        quality(x[0, ..., 0], x[0, ..., 0])
    with pytest.raises(TypeError, match="float in .0, 1. or uint8, got int64"):
        quality(x, np.zeros(x.shape, np.int64))


def test_ssim_refuses_frames_smaller_than_its_window():
    x = np.zeros((2, 10, 64, 1), np.float32)
    with pytest.raises(ValueError, match="windows of 11x11, the frames have 10x64"):
        frame_quality.ssim(x, x)
