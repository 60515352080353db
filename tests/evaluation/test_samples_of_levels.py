"""Pictures of hierarchies: what each level adds, and latents of which the top alone is moved."""

import itertools

import numpy as np
import pytest

from tests._models import LATENT_SIZE
from tests.evaluation._hierarchies import IMAGE_SHAPE, hierarchy, levels, unit_interval
from tf_sigma_vae import image_grid
from tf_sigma_vae.evaluation import _labels, samples

ROUNDING = 1e-5


@pytest.fixture(scope="module")
def model():
    return hierarchy()


@pytest.fixture
def drawn(monkeypatch):
    """The arguments of every picture that is drawn."""
    calls = []
    draw = _labels.picture

    def record(images, title, subtitle="", **labels):
        calls.append({"images": images, "text": f"{title}; {subtitle}", **labels})
        return draw(images, title, subtitle, **labels)

    monkeypatch.setattr(_labels, "picture", record)
    return calls


def test_each_row_has_one_level_more_from_the_image(model, drawn):
    samples.levels(model, levels(5))
    samples.reconstructions(model, levels(5))
    grid, reconstructed = (call["images"] for call in drawn)
    assert drawn[0]["row_labels"] == ("original", "none", "0: 1x1x3", "1: 2x3x2")
    assert grid.shape == (4, 5, *IMAGE_SHAPE)
    np.testing.assert_array_equal(grid[0], reconstructed[0])
    # All levels from q are the reconstruction, but for a rounding to the other gray level.
    np.testing.assert_allclose(grid[3].astype(int), reconstructed[1].astype(int), atol=1)
    for upper, lower in itertools.pairwise(grid):
        assert np.any(upper != lower)


def test_without_temperature_nothing_of_the_image_is_one_picture(model, drawn):
    samples.levels(model, levels(5), temperature=0.0)
    samples.levels(model, levels(5))
    cold, warm = (call["images"] for call in drawn)
    assert np.all(cold[1] == cold[1, :1])
    assert np.any(warm[1] != warm[1, :1])
    np.testing.assert_array_equal(cold[[0, 3]], warm[[0, 3]])
    assert "temperature 0, seed 0" in drawn[0]["text"]
    assert "temperature" not in drawn[1]["text"]


def test_the_temperature_is_that_of_prior_samples(model, drawn):
    samples.prior(model, 4, seed=2, temperature=0.5)
    likelihood, _, _ = model.sample(4, seed=2, temperature=0.5)
    expected = image_grid.near_square(image_grid.to_uint8(likelihood.mean()))
    np.testing.assert_array_equal(drawn[0]["images"], expected)
    assert "temperature 0.5, seed 2" in drawn[0]["text"]


@pytest.mark.parametrize("stochastic_bottom_up", [False, True])
def test_traversals_are_of_the_top_level_by_its_rates(drawn, monkeypatch, stochastic_bottom_up):
    model, images = hierarchy(stochastic_bottom_up=stochastic_bottom_up), levels(70)
    seen = []
    decode = model.decode
    monkeypatch.setattr(model, "decode", lambda z: seen.append(z) or decode(z))
    samples.traversals(model, images)
    posterior = model(unit_interval(images)).posterior
    loc, scale = (v.numpy()[:, :LATENT_SIZE] for v in (posterior.mean(), posterior.stddev()))
    rates = np.mean((loc**2 + scale**2 - 1.0) / 2.0 - np.log(scale), axis=0)
    labels = [f"z{d}: {rates[d]:.2f}" for d in np.argsort(-rates)]
    assert drawn[0]["row_labels"] == labels
    assert f"{LATENT_SIZE} of {LATENT_SIZE} dimensions of the top level" in drawn[0]["text"]
    below = seen[0][:, LATENT_SIZE:]
    assert np.all(below == below[:1]) and below.shape[1] > 0


def test_the_rates_of_the_top_sum_to_that_of_its_level(model):
    images = levels(9)
    expected = np.mean(model(unit_interval(images)).rate_groups[:, 0])
    assert np.sum(samples._top_rates(model, images)) == pytest.approx(expected, rel=ROUNDING)


def test_interpolations_go_straight_below_the_top(model, drawn):
    first, last = (model.encode(unit_interval(levels(2, seed=s))).mean().numpy() for s in (1, 2))
    between = samples._between(model, first, last, 0.25)
    top = slice(0, LATENT_SIZE)
    arc = samples.spherical_interpolation(first[:, top], last[:, top], 0.25)
    np.testing.assert_allclose(between[:, top], arc, rtol=ROUNDING)
    below = 0.75 * first[:, LATENT_SIZE:] + 0.25 * last[:, LATENT_SIZE:]
    np.testing.assert_allclose(between[:, LATENT_SIZE:], below, rtol=ROUNDING, atol=ROUNDING)
    samples.interpolations(model, levels(4))
    assert "spherical at the top, straight below" in drawn[0]["text"]
