import numpy as np
import pytest

from tests.evaluation.fid._networks import Averages, levels


class Given(Averages):
    """An extractor whose features are given."""

    def __init__(self, features):
        super().__init__()
        self.features = features

    def extract(self, levels):
        return self.features


def test_images_that_are_not_rounded_are_taken_too():
    given, extractor = levels(3), Averages()
    np.testing.assert_array_equal(extractor(given.astype(np.float32)), extractor(given))
    half = given.astype(np.float32) + np.float32(0.25)
    np.testing.assert_allclose(extractor(half) - extractor(given), 0.25, rtol=1e-3)


@pytest.mark.parametrize(
    "given", [np.zeros((2, 4, 6, 3)), np.zeros((2, 4, 6, 3), np.int32), levels(3)[0]]
)
def test_what_are_no_images_is_refused(given):
    with pytest.raises(ValueError, match="images must be uint8 or float32"):
        Averages()(given)


def test_images_of_two_channels_are_refused():
    with pytest.raises(ValueError, match="takes images of 3 channels, or of one, got 2"):
        Averages()(levels(2, (4, 6, 2)))


@pytest.mark.parametrize("shape", [(2, 3, 1), (2,), (1, 3)])
def test_what_is_no_vector_for_each_image_is_refused(shape):
    with pytest.raises(ValueError, match=r"features must be \[B, D\], got .* from averages"):
        Given(np.zeros(shape))(levels(2))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_feature_that_is_not_finite_is_an_error(bad):
    with pytest.raises(FloatingPointError, match="a feature of averages .* is not finite"):
        Given(np.array([[1.0, bad]]))(levels(1))
