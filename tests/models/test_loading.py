import keras
import numpy as np
import pytest

from tests._models import image_networks, images, tiny_vae
from tests._printed import run_module
from tf_sigma_vae import likelihoods, models, plugins

BATCH = 4
LEARNING_RATE = 3e-3
TOLERANCE = 1e-6
SHAPE = (8, 9, 2)
NAMES = plugins.names("likelihoods")
NETWORKS = image_networks()
# Besides one model for each likelihood and network: options, own layers, a policy, a calibration.
SPECIAL = [*NETWORKS, "with_options", "custom_layers", "bfloat16", "calibrated"]


def _custom_layers():
    encoder = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(6)])
    decoder = keras.Sequential([keras.layers.Dense(144), keras.layers.Reshape(SHAPE)])
    return encoder, decoder


def _model(name):
    if name in NAMES:
        return tiny_vae(name, SHAPE)
    if name in NETWORKS:
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


@pytest.fixture(scope="module")
def trained():
    """A model of each kind after two steps."""
    built = {}
    for name in [*NAMES, *SPECIAL]:
        model = _model(name)
        # Eagerly, to save the tracing of so many; one of them as a graph.
        eager = name != "calibrated"
        model.compile(keras.optimizers.Adam(LEARNING_RATE), run_eagerly=eager)
        for _ in range(2):
            model.train_on_batch(images(8, SHAPE))
        if name == "calibrated":
            model.calibrate(images(30, SHAPE, seed=2))
        built[name] = model
    return built


@pytest.fixture(scope="module")
def restored(trained, tmp_path_factory):
    """What a fresh process finds in the saved models, by name."""
    folder = tmp_path_factory.mktemp("saved")
    np.save(folder / "images.npy", images(BATCH, SHAPE, seed=3))
    for name, model in trained.items():
        model.save(folder / f"{name}.keras")
    run_module("tests.models._fresh_process", folder, options=("-W", "error::UserWarning"))
    return {path.stem: dict(np.load(path)) for path in folder.glob("*.npz")}


@pytest.mark.parametrize("name", [*NAMES, *SPECIAL])
def test_saved_model_gives_the_same_log_prob_in_a_fresh_process(trained, restored, name):
    x, model = images(BATCH, SHAPE, seed=3), trained[name]
    output = model(x)
    log_prob = output.likelihood.log_prob(x).numpy()
    np.testing.assert_allclose(restored[name]["log_prob"], log_prob, rtol=TOLERANCE)
    np.testing.assert_allclose(restored[name]["rate"], output.rate, rtol=TOLERANCE, atol=1e-6)
    np.testing.assert_allclose(restored[name]["sample"], model.sample(2, seed=4)[1], atol=1e-5)
    elbo = model.evaluate(x, verbose=0, return_dict=True)["elbo"]
    assert restored[name]["elbo"] == pytest.approx(elbo, rel=1e-5)


@pytest.mark.parametrize("name", [*NAMES, *SPECIAL])
def test_saved_model_keeps_optimizer_policy_and_provenance(trained, restored, name):
    found, model = restored[name], trained[name]
    assert float(found["learning_rate"]) == pytest.approx(LEARNING_RATE)
    assert int(found["iterations"]) == 2
    momenta = sum(np.sum(np.abs(v.numpy())) for v in model.optimizer.variables[2:])
    assert float(found["momenta"]) == pytest.approx(float(momenta), rel=1e-5)
    policy = "mixed_bfloat16" if name == "bfloat16" else "float32"
    assert found["policy"] == policy
    dtype = "bfloat16" if name == "bfloat16" else "float32"
    assert list(found["compute_dtypes"]) == [dtype] * 2
    assert str(found["provenance"]) == repr(model.likelihood.provenance())


def test_calibration_is_saved_with_its_provenance(restored):
    provenance = str(restored["calibrated"]["provenance"])
    assert provenance == "{'source': 'calibrate', 'num_examples': 30, 'step': 2}"


def test_training_goes_on_from_a_loaded_model_as_from_the_saved_one(tmp_path):
    model = tiny_vae("gaussian_optimal")
    model.compile(keras.optimizers.Adam(LEARNING_RATE))
    model.train_on_batch(images(8))
    model.save(tmp_path / "model.keras")
    loaded = models.load(tmp_path / "model.keras")
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
