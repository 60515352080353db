import io

import numpy as np
import pytest

from tests._models import set_weights, tiny_vae
from tf_sigma_vae import image_grid
from tf_sigma_vae.evaluation import _labels, samples
from tf_sigma_vae.likelihoods import GaussianFixed

GREY, COLOR = (8, 10, 1), (8, 10, 3)
ROUNDING = 1e-9


def vae(image_shape=COLOR):
    likelihood = GaussianFixed(scale=0.1)
    return set_weights(tiny_vae(likelihood, image_shape), scale=0.8)


def levels(num_examples, image_shape=COLOR, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, size=(num_examples, *image_shape), dtype=np.uint8)


def all_pictures(model, images, seed):
    pictures = samples.prior(model, 5, seed)
    for draw in (samples.reconstructions, samples.interpolations, samples.traversals):
        pictures[draw.__name__] = draw(model, images, seed)
    return pictures


def png(picture):
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def drawn(monkeypatch):
    """The arguments of every picture that is drawn."""
    calls = []
    draw = _labels.picture

    def record(images, title, subtitle="", **labels):
        calls.append({"images": images, "text": f"{title} {subtitle}", **labels})
        return draw(images, title, subtitle, **labels)

    monkeypatch.setattr(_labels, "picture", record)
    return calls


def test_pictures_repeat_byte_for_byte_for_a_seed():
    model, images = vae(), levels(6)
    first, again, other = (all_pictures(model, images, seed) for seed in (1, 1, 2))
    assert list(first) == [
        "prior_mean",
        "prior_noisy",
        "reconstructions",
        "interpolations",
        "traversals",
    ]
    for name, picture in first.items():
        assert png(picture) == png(again[name])
        assert png(picture) != png(other[name])


def test_prior_samples_say_whether_they_have_noise(drawn):
    samples.prior(vae(), 5)
    mean, noisy = (call["text"] for call in drawn)
    assert "mean of p(x|z)" in mean and "noise" not in mean
    assert "with the decoder's noise" in noisy and "same z" in noisy


def test_reconstructions_are_in_three_labelled_rows(drawn):
    images = levels(5)
    samples.reconstructions(vae(), images)
    assert drawn[0]["row_labels"] == ("original", "mean", "noisy")
    originals = drawn[0]["images"][0]
    assert sorted(map(bytes, originals)) == sorted(map(bytes, images))


def test_interpolations_run_between_originals(drawn):
    model, images = vae(), levels(5)
    samples.interpolations(model, images, seed=3)
    grid, labels = drawn[0]["images"], drawn[0]["column_labels"]
    assert grid.shape == (2, 11, *COLOR)
    assert (labels[0], labels[1], labels[-2], labels[-1]) == ("original", "0", "1", "original")
    for end, beside in ((0, 1), (-1, -2)):
        x = grid[:, end].astype(np.float32) / np.float32(255.0)
        expected = image_grid.to_uint8(model.decode(model.encode(x).mean()).mean())
        # The ends of the arc are the posterior means but for rounding: one grey level at most.
        np.testing.assert_allclose(grid[:, beside].astype(int), expected.astype(int), atol=1)


def test_one_image_cannot_be_interpolated():
    with pytest.raises(ValueError, match="at least 2 images, got 1"):
        samples.interpolations(vae(), levels(1))


def test_spherical_interpolation_keeps_the_length_and_the_angles():
    first, last = np.array([[3.0, 0.0, 0.0]]), np.array([[0.0, 3.0, 0.0]])
    found = samples.spherical_interpolation(first, last, 1.0 / 3.0)
    expected = 3.0 * np.array([[np.cos(np.pi / 6), np.sin(np.pi / 6), 0.0]])
    np.testing.assert_allclose(found, expected, atol=ROUNDING)


@pytest.mark.parametrize("last", [[1.0, 2.0], [2.0, 4.0], [-1.0, -2.0], [0.0, 0.0]])
def test_where_there_is_no_arc_the_way_is_straight(last):
    first, last = np.array([[1.0, 2.0]]), np.array([last])
    found = samples.spherical_interpolation(first, last, 0.25)
    np.testing.assert_allclose(found, 0.75 * first + 0.25 * last, atol=ROUNDING)


def test_traversals_are_ordered_by_rate(drawn):
    model, images = vae(), levels(20)
    samples.traversals(model, images)
    rates = np.mean(model(images.astype(np.float32) / np.float32(255.0)).rate_groups, axis=0)
    order = np.argsort(-rates)
    assert drawn[0]["row_labels"] == [f"z{d}: {rates[d]:.2f}" for d in order]
    assert drawn[0]["column_labels"][0] == "-3" and drawn[0]["column_labels"][-1] == "3"


def test_a_traversal_moves_one_dimension_of_one_image():
    class Decoder:
        """A model whose images are its latents, in [0, 1]."""

        def __init__(self, inner):
            self.inner, self.seen = inner, []
            self.encode, self.num_levels = inner.encode, inner.num_levels

        def __call__(self, x, training):
            return self.inner(x, training=training)

        def decode(self, z):
            self.seen.append(z)
            return self.inner.decode(z)

    model = Decoder(vae())
    samples.traversals(model, levels(4))
    z = model.seen[0].reshape(3, samples.TRAVERSAL_STEPS, 3)
    for row in z:
        moved = np.ptp(row, axis=0) > 0
        assert moved.sum() == 1
        np.testing.assert_allclose(row[:, moved][:, 0], np.linspace(-3, 3, len(row)))


def test_the_grid_is_drawn_pixel_by_pixel_below_its_title():
    images = levels(6).reshape(2, 3, *COLOR)
    picture = np.asarray(_labels.picture(images, "A title"))
    grid = image_grid.tile(image_grid.upscale(images, 7), _labels.GAP)
    height, width = grid.shape[:2]
    bottom, right = (size - _labels.MARGIN for size in picture.shape[:2])
    np.testing.assert_array_equal(picture[bottom - height : bottom, right - width : right], grid)
    assert np.any(picture[: bottom - height] < 128)


def test_labels_are_drawn_beside_their_rows_and_columns():
    images = np.full((2, 3, *GREY), 255, np.uint8)
    plain = np.asarray(_labels.picture(images, "T"))
    rows = np.asarray(_labels.picture(images, "T", row_labels=("first", "second")))
    columns = np.asarray(_labels.picture(images, "T", column_labels="abc"))
    assert rows.shape[1] > plain.shape[1] and rows.shape[0] == plain.shape[0]
    assert columns.shape[0] > plain.shape[0] and columns.shape[1] == plain.shape[1]
    for labelled in (rows, columns):
        assert np.sum(labelled < 128) > np.sum(plain < 128)


def test_labels_must_fit_the_grid():
    with pytest.raises(ValueError):
        _labels.picture(levels(6).reshape(2, 3, *COLOR), "T", row_labels=("one",))


def test_images_of_two_channels_cannot_be_drawn():
    with pytest.raises(ValueError, match="1 or 3 channels, got 2"):
        _labels.picture(levels(6, (8, 10, 2)).reshape(2, 3, 8, 10, 2), "T")
