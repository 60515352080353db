"""Likelihoods on levels of latents: saved, loaded, exported, in bfloat16, on replicas.

They take minutes and are slow; by default `gaussian_optimal` on levels is in the modules that walk
the networks. `test_xla` compiles a step.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests._models import images, tiny_vae
from tests._printed import printed_by
from tests._representatives import REPRESENTATIVES
from tests.conformance.test_replicas import FLOAT32, require_small
from tf_sigma_vae import distributions, models
from tf_sigma_vae.export import precision

SHAPE = (8, 10, 3)
BATCH = 4

# Most of the models are trained in bfloat16, by a fixture.
pytestmark = [pytest.mark.slow, pytest.mark.bfloat16]
# As elsewhere, but that the gradient of a normalised kernel's direction is the small rest of two
# large numbers. Measured over all likelihoods: 5.6e-5, 2.3e-5 in the weights.
ON_REPLICAS = FLOAT32 | {"gradients": 2e-4, "weights": 1e-4}
REORDERED = 1e-4
"""Relative: float32 sums of some hundred terms, grouped by another compiler."""


@pytest.fixture(scope="module")
def trained():
    """A model with a likelihood after an epoch in bfloat16, its scale set; made once each."""
    made = {}

    def model_of(name):
        if name not in made:
            model = tiny_vae(name, SHAPE, "ladder32", dtype="mixed_bfloat16")
            model.compile(keras.optimizers.Adam(1e-3))
            history = model.fit(images(2 * BATCH, SHAPE), batch_size=BATCH, verbose=0).history
            model.calibrate(images(3 * BATCH, SHAPE, seed=2))
            made[name] = model, history
        return made[name]

    return model_of


@pytest.mark.parametrize("name", REPRESENTATIVES)
def test_training_in_bfloat16_is_finite_and_rates_are_float32(trained, name):
    model, history = trained(name)
    assert {"loss", "elbo", "rate", "rate_level_0", "rate_level_1"} <= set(history)
    assert all(np.all(np.isfinite(values)) for values in history.values())
    output = model(images(BATCH, SHAPE, seed=1))
    assert output.rate_groups.dtype == output.distortion.dtype == tf.float32
    assert model.top_down.compute_dtype == "bfloat16"


@pytest.mark.parametrize("name", REPRESENTATIVES)
def test_a_saved_model_scores_as_before(trained, name, tmp_path):
    model, _ = trained(name)
    model.save(tmp_path / "model.keras")
    loaded = models.load(tmp_path / "model.keras")
    x = images(BATCH, SHAPE, seed=1)
    before, after = model(x), loaded(x)
    np.testing.assert_array_equal(after.distortion, before.distortion)
    np.testing.assert_array_equal(after.rate_groups, before.rate_groups)
    assert loaded.likelihood.provenance() == model.likelihood.provenance()
    assert loaded.level_shapes == model.level_shapes


@pytest.mark.parametrize("name", REPRESENTATIVES)
def test_an_exported_model_decodes_to_the_same_distribution(trained, name, tmp_path):
    # As it is published: see there.
    model = precision.in_float32(trained(name)[0])
    functions = model.signatures()
    written = {key: functions[key] for key in ("encode", "decode", "elbo")}
    model.export(tmp_path / "saved", functions=written)
    loaded = tf.saved_model.load(tmp_path / "saved").signatures
    x, seed = images(BATCH, SHAPE, seed=1), tf.constant([[0, i] for i in range(BATCH)])
    z = loaded["encode"](images=tf.constant(x))["z_mean"]
    assert z.shape == (BATCH, model.latent_size)
    served = distributions.from_parameters(loaded["decode"](z=z))
    wanted = model.decode(z)
    np.testing.assert_allclose(served.mean(), wanted.mean(), rtol=REORDERED, atol=REORDERED)
    np.testing.assert_allclose(served.log_prob(x), wanted.log_prob(x), rtol=REORDERED)
    answer = loaded["elbo"](images=tf.constant(x), seed=seed)
    np.testing.assert_allclose(answer["log_prob"] - answer["rate"], answer["elbo"], rtol=REORDERED)


@pytest.mark.timeout(900)
def test_replicas_train_a_hierarchy_as_one_device_does():
    case = "gaussian_optimal in levels"
    found = printed_by("benchmarks._equality", "3", case)
    require_small(dict(found[case]), ON_REPLICAS)
