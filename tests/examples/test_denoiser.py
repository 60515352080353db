"""From the mean squared error to a calibrated likelihood, in a few lines of a user's script."""

import difflib

import keras
import numpy as np
import pytest

MSE, CALIBRATED = "denoiser_mse.py", "denoiser_calibrated.py"
MAX_CHANGED_LINES = 9
EPOCHS = 6


@pytest.fixture(scope="module")
def trained(run_example):
    return {name: run_example(name, f"--epochs={EPOCHS}") for name in (MSE, CALIBRATED)}


def changed_lines(first, second):
    """Lines removed and lines added, a replaced line counted twice."""
    diff = difflib.ndiff(first.splitlines(), second.splitlines())
    return [line for line in diff if line[0] in "+-"]


def test_calibrated_version_changes_fewer_than_ten_lines(repository_root):
    texts = [(repository_root / "examples" / name).read_text() for name in (MSE, CALIBRATED)]
    changed = changed_lines(*texts)
    assert 0 < len(changed) <= MAX_CHANGED_LINES, "\n".join(changed)


def test_both_denoisers_remove_most_of_the_noise(trained):
    errors = {name: np.sqrt(np.mean(left["error"] ** 2)) for name, left in trained.items()}
    for left in trained.values():
        noise = left["noisy_test"] - left["clean_test"]
        assert np.sqrt(np.mean(left["error"] ** 2)) < 0.75 * np.sqrt(np.mean(noise**2))
    assert errors[CALIBRATED] == pytest.approx(errors[MSE], rel=0.1)


def test_stored_scale_is_near_the_held_out_error_and_intervals_cover(trained):
    left = trained[CALIBRATED]
    scale = left["scale"]
    assert scale.shape == left["clean_test"].shape
    # The scale still comes down after so few epochs: at the default it meets the error.
    assert 1.0 < scale.mean() / np.sqrt(np.mean(left["error"] ** 2)) < 2.5
    coverage = np.mean(abs(left["error"]) < 1.645 * scale)
    assert 0.85 < coverage < 1.0
    assert f"stored scale {scale.mean():.3f}, 90 % coverage {coverage:.2f}" in left["printed"]


def test_calibrated_denoiser_survives_saving(trained, tmp_path):
    left = trained[CALIBRATED]
    x, y = left["noisy_test"][:5], left["clean_test"][:5]
    left["model"].save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(x).log_prob(y), left["model"](x).log_prob(y), rtol=1e-6)
