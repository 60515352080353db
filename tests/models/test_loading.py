"""Saved models, in this process and in another one."""

import functools

import keras
import numpy as np
import pytest

from tests._eagerly import eagerly
from tests._models import image_networks, images, tiny_vae
from tests._printed import run_module
from tests._representatives import REPRESENTATIVES
from tests.models import _fresh_process
from tf_sigma_vae import likelihoods, models

BATCH = 4
LEARNING_RATE = 3e-3
ROUNDING = 1e-6
"""Relative: the same float32 sums, in another process."""
SHAPE = (8, 9, 2)
# Options, layers of one's own, a policy, a calibration.
SPECIAL = ("with_options", "bfloat16", "calibrated", "custom_layers")
# What a fresh process must know the classes of; tests/conformance saves all others in this one.
FRESH = (*REPRESENTATIVES, *SPECIAL, *image_networks())


def _custom_layers():
    encoder = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(6)])
    decoder = keras.Sequential([keras.layers.Dense(144), keras.layers.Reshape(SHAPE)])
    return encoder, decoder


def _model(name):
    if name in REPRESENTATIVES:
        return tiny_vae(name, SHAPE)
    if name in image_networks():
        return tiny_vae("gaussian_shared", SHAPE, name)
    if name == "with_options":
        options = {"initial_scale": "data", "scale_learning_rate_multiplier": 10.0}
        likelihood = likelihoods.GaussianPerChannel(**options)
        return tiny_vae(likelihood, SHAPE, beta=2.0, free_bits=0.1, seed=9)
    if name == "custom_layers":
        return tiny_vae("gaussian_optimal", SHAPE, _custom_layers())
    if name == "bfloat16":
        return tiny_vae("gaussian_optimal", SHAPE, dtype="mixed_bfloat16")
    return tiny_vae("gaussian_optimal_per_image", SHAPE)


@functools.cache
def trained(name):
    """A model after two steps."""
    model = _model(name)
    model.compile(keras.optimizers.Adam(LEARNING_RATE), run_eagerly=True)
    for _ in range(2):
        model.train_on_batch(images(8, SHAPE))
    if name == "calibrated":
        with eagerly():
            model.calibrate(images(30, SHAPE, seed=2))
    return model


def require_same(found, model, x):
    """Compares what `_fresh_process.facts` tells of a loaded model with the saved one."""
    output = model(x)
    log_prob = output.likelihood.log_prob(x).numpy()
    np.testing.assert_allclose(found["log_prob"], log_prob, rtol=ROUNDING)
    np.testing.assert_allclose(found["rate"], output.rate, rtol=ROUNDING, atol=1e-6)
    np.testing.assert_allclose(found["sample"], model.sample(2, seed=4)[1], atol=1e-5)
    assert float(found["learning_rate"]) == pytest.approx(LEARNING_RATE)
    assert int(found["iterations"]) == 2
    momenta = sum(np.sum(np.abs(v.numpy())) for v in model.optimizer.variables[2:])
    assert float(found["momenta"]) == pytest.approx(float(momenta), rel=1e-5)
    assert found["policy"] == model.dtype_policy.name
    assert list(found["compute_dtypes"]) == [model.dtype_policy.compute_dtype] * 2
    assert str(found["provenance"]) == repr(model.likelihood.provenance())


@pytest.mark.parametrize("name", SPECIAL[:3])
def test_saved_model_is_the_same_with_its_optimizer_policy_and_provenance(name, tmp_path):
    model = trained(name)
    model.save(tmp_path / "model.keras")
    loaded, x = keras.models.load_model(tmp_path / "model.keras"), images(BATCH, SHAPE, seed=3)
    require_same(_fresh_process.facts(loaded, x), model, x)


@pytest.fixture(scope="module")
def restored(tmp_path_factory):
    """What a fresh process finds in saved models, by name."""
    folder = tmp_path_factory.mktemp("saved")
    np.save(folder / "images.npy", images(BATCH, SHAPE, seed=3))
    for name in FRESH:
        trained(name).save(folder / f"{name}.keras")
    run_module("tests.models._fresh_process", folder, options=("-W", "error::UserWarning"))
    return {path.stem: dict(np.load(path)) for path in folder.glob("*.npz")}


@pytest.mark.slow
@pytest.mark.bfloat16
@pytest.mark.parametrize("name", FRESH)
def test_saved_model_is_the_same_in_a_fresh_process(name, restored):
    require_same(restored[name], trained(name), images(BATCH, SHAPE, seed=3))


def test_calibration_is_saved_with_its_provenance(tmp_path):
    trained("calibrated").save(tmp_path / "model.keras")
    provenance = models.load(tmp_path).likelihood.provenance()
    assert provenance == {"source": "calibrate", "num_examples": 30, "step": 2}


def test_training_goes_on_from_a_loaded_model_as_from_the_saved_one(tmp_path):
    model = tiny_vae("gaussian_optimal")
    model.compile(keras.optimizers.Adam(LEARNING_RATE), run_eagerly=True)
    model.train_on_batch(images(8))
    model.save(tmp_path / "model.keras")
    loaded = models.load(tmp_path / "model.keras")
    loaded.run_eagerly = True
    for each in (model, loaded):
        each.train_on_batch(images(8, seed=1))
    for first, second in zip(model.weights, loaded.weights, strict=True):
        np.testing.assert_allclose(first.numpy(), second.numpy(), rtol=1e-5, atol=1e-7)


def test_load_takes_a_workdir_or_a_file(tmp_path):
    model = tiny_vae("gaussian_fixed")
    model.save(tmp_path / "model.keras")
    x = images(2)
    for path in (tmp_path, str(tmp_path), tmp_path / "model.keras"):
        np.testing.assert_allclose(models.load(path)(x).distortion, model(x).distortion, rtol=1e-6)
    assert models.load(tmp_path).optimizer is None


def test_load_says_what_it_looked_for(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no model at .*model\.keras.*give a workdir"):
        models.load(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"absent\.keras"):
        models.load(tmp_path / "absent.keras")


def test_config_round_trip_keeps_every_argument():
    given = {"beta": 2.5, "rate_warmup_steps": 7, "free_bits": 0.25, "seed": 3, "latent_size": 4}
    model = tiny_vae("gaussian_per_pixel", check_finite=False, **given)
    config = models.VAE.from_config(model.get_config()).get_config()
    assert {name: config[name] for name in given} == given
    assert config["check_finite"] is False
    assert config["network"] == "dense" and config["network_options"] == {"hidden_sizes": (5,)}


def test_a_damaged_model_is_said_to_be_damaged(tmp_path):
    path = tmp_path / "model.keras"
    path.write_bytes(b"PK cut off")
    with pytest.raises(ValueError, match="model.keras' is damaged"):
        models.load(str(tmp_path))
