import numpy as np
import pytest

from tests._models import images, set_weights, tiny_vae
from tf_sigma_vae.evaluation import reconstruction

# float32 means of images in [0, 1], squared and averaged in float64.
ROUNDING = 1e-6


def test_mse_is_the_mean_over_pixels_and_channels_of_the_mean_image():
    model, x = set_weights(tiny_vae("gaussian_fixed")), images(5)
    output = model(x)
    expected = np.mean((x - output.likelihood.mean().numpy()) ** 2, axis=(1, 2, 3))
    np.testing.assert_allclose(
        reconstruction.mean_squared_error(output, x), expected, rtol=ROUNDING
    )


def test_mse_does_not_depend_on_the_scale_of_the_decoder():
    x = images(5)
    found = []
    for scale in (0.01, 3.0):
        model = set_weights(tiny_vae("gaussian_shared"))
        model.likelihood.raw_log_scale.assign(
            np.full(model.likelihood.raw_log_scale.shape, np.log(scale))
        )
        found.append(reconstruction.mean_squared_error(model(x), x).numpy())
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize(("mse", "decibels"), [(1.0, 0.0), (0.1, 10.0), (1e-4, 40.0)])
def test_psnr_takes_one_as_the_peak(mse, decibels):
    assert reconstruction.psnr(mse) == pytest.approx(decibels)


def test_psnr_of_an_exact_copy_is_infinite():
    assert reconstruction.psnr(0.0) == np.inf
