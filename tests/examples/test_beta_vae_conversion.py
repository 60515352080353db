"""A beta on the mean squared error is a scale, in the gradients and in what is learned."""

import re

import numpy as np
import pytest

from tests._eagerly import eagerly

NAME = "beta_vae_conversion.py"
BETA, STEPS = 0.02, 10
NUMBER = r"(-?\d[\d.e-]*)"


@pytest.fixture(scope="module")
def left(run_example):
    # So few steps take less time without graphs.
    with eagerly():
        return run_example(NAME, f"--beta={BETA}", f"--steps={STEPS}")


def test_scale_is_that_of_the_mean_over_the_dimensions(left):
    assert left["scale"] == pytest.approx(np.sqrt(64 * BETA / 2))


def test_gradients_are_equal_but_for_the_factor_beta(left):
    assert left["factor"] == pytest.approx(BETA, rel=1e-5)
    largest = np.max(np.abs(left["mine"]))
    assert largest > 0
    # float32 rounds the two losses differently.
    np.testing.assert_allclose(left["mine"], BETA * left["ours"], atol=1e-5 * largest, rtol=0)


def test_training_with_either_loss_ends_at_the_same_rate(left):
    # Rounding of gradients apart, of which Adam takes the sign: 1e-7 were measured.
    assert left["my_kl"] == pytest.approx(left["our_kl"], rel=1e-3)


def test_calibrated_scale_asks_for_a_smaller_beta(left):
    scale = left["calibrated_scale"]
    variance = left["model"].likelihood.variance.numpy() + (1 / 510) ** 2
    assert scale == pytest.approx(np.sqrt(variance), rel=1e-5)
    assert left["best_beta"] == pytest.approx(2 * scale**2 / 64)
    assert 0 < left["best_beta"] < BETA


def test_converted_head_has_the_same_optimum_whatever_beta(left):
    """The likelihood's loss is the written one over beta, plus a constant."""
    rng = np.random.default_rng(0)
    x = rng.uniform(size=(3, 8, 8, 1)).astype(np.float32)
    kl = rng.uniform(size=3).astype(np.float32)
    for beta in (0.01, 1.0):
        offsets = []
        for _ in range(2):
            params = rng.normal(size=x.shape).astype(np.float32)
            written = left["my_beta_vae_loss"](params, x, kl, beta)
            offsets.append(float(left["likelihood_loss"](params, x, kl, beta) - written / beta))
        assert offsets[0] == pytest.approx(offsets[1], rel=1e-5)


def test_what_is_printed_is_what_was_found(left):
    (scale,) = re.findall(rf"calibrated scale {NUMBER}:", left["printed"])
    (beta,) = re.findall(rf"beta should have been {NUMBER}", left["printed"])
    assert float(scale) == pytest.approx(left["calibrated_scale"], abs=1e-3)
    assert float(beta) == pytest.approx(left["best_beta"], abs=1e-5)
