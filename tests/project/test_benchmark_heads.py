"""The benchmark of the likelihoods compares within a round and measures what it says."""

import subprocess
import sys

import numpy as np
import pytest

from benchmarks import _heads, heads
from tf_sigma_vae import plugins

MIB = 2**20


def test_ratios_are_taken_within_a_round():
    # The machine is three times slower in the second round, for both sides.
    seconds = {"gaussian_shared": [0.1, 0.3, 0.1], "slow": [0.2, 0.6, 0.25]}
    text = heads.table(seconds, {"gaussian_shared": 2**29, "slow": 3 * 2**30})
    rows = {line.split()[0]: line.split()[1:] for line in text.splitlines()[1:]}
    assert rows["gaussian_shared"] == ["100", "1.00", "(1.00..1.00)", "0.50"]
    assert rows["slow"] == ["250", "2.00", "(2.00..2.50)", "3.00"]


def test_every_round_runs_every_likelihood_once():
    class Recorder:
        def __init__(self):
            self.orders = []

        def run(self, steps):
            self.orders.append(steps)

    trainers = {name: Recorder() for name in "abc"}
    seconds = heads.step_seconds(trainers, rounds=4, steps=3, seed=0)
    assert all(trainer.orders == [3] * 4 for trainer in trainers.values())
    assert all(len(times) == 4 and min(times) >= 0 for times in seconds.values())


def test_all_likelihoods_are_measured_unless_some_are_named():
    assert set(heads.parse_args([]).likelihoods) == set(plugins.names("likelihoods"))
    named = heads.parse_args(["--likelihoods", "gaussian_fixed"]).likelihoods
    assert named == ["gaussian_shared", "gaussian_fixed"]
    for argv in (["--likelihoods", "gauss"], ["--steps=0"]):
        with pytest.raises(SystemExit):
            heads.parse_args(argv)


@pytest.mark.slow
def test_trainer_takes_training_steps_on_grey_levels():
    images = _heads.random_images(batch_size=2, image_size=8, channels=3)
    assert images.shape == (2, 8, 8, 3)
    np.testing.assert_allclose(255 * images, np.round(255 * images), atol=1e-3)
    trainer = _heads.HeadTrainer("gaussian_fixed", images)
    weights = trainer._model.trainable_weights
    before = [weight.numpy() for weight in weights]
    assert np.isfinite(trainer.run(2))
    # Not that the loss falls: that of two images is mostly the noise of z.
    assert int(trainer._model.optimizer.iterations) == 2
    assert all(np.any(w.numpy() != b) for w, b in zip(weights, before, strict=True))


def test_peak_memory_is_of_the_process_itself_and_not_of_its_parent():
    large = np.ones(200 * MIB, np.uint8)
    code = "from benchmarks._heads import peak_bytes; print(peak_bytes())"
    command = [sys.executable, "-c", code]
    root = heads.ROOT
    small = int(subprocess.run(command, cwd=root, capture_output=True, check=True).stdout)
    code = f"import numpy; a = numpy.ones({200 * MIB}, 'uint8'); " + code
    command = [sys.executable, "-c", code]
    grown = int(subprocess.run(command, cwd=root, capture_output=True, check=True).stdout)
    assert small < large.nbytes < grown
    assert grown - small == pytest.approx(200 * MIB, rel=0.2)


@pytest.mark.slow
def test_a_categorical_of_colour_images_trains_in_four_gibibytes():
    args = heads.parse_args(["--memory_steps=3"])
    assert (args.batch_size, args.image_size, args.channels) == (128, 32, 3)
    assert heads.peak_memory("categorical", args) < 4 * heads.GIB
