import keras
import numpy as np
import pytest

from tests.evaluation.fid._networks import dense_network, levels
from tf_sigma_vae.evaluation.fid.extractors.inception_v3_keras import InceptionV3Keras

# Resized pixels are float32 sums of a few products.
ROUNDING = 1e-5


@pytest.fixture
def calls(monkeypatch):
    """What `keras.applications` is asked for; a small network stands in for its own."""
    found = []

    def inception(**options):
        found.append({**options, "policy": keras.config.dtype_policy().name})
        return dense_network((299, 299, 3))

    monkeypatch.setattr(keras.applications, "InceptionV3", inception)
    return found


def test_the_network_is_that_of_imagenet_up_to_its_average(calls):
    InceptionV3Keras()
    InceptionV3Keras(path="weights.h5")
    assert [call["weights"] for call in calls] == ["imagenet", "weights.h5"]
    assert not calls[0]["include_top"] and calls[0]["pooling"] == "avg"


def test_images_are_resized_and_mapped_as_the_network_was_trained(calls):
    # Of one color each, so that any resizing gives the same.
    given = np.tile(levels(4, (1, 1, 3)), (1, 6, 8, 1))
    found = InceptionV3Keras()(given)
    preprocess = keras.applications.inception_v3.preprocess_input
    expected = dense_network((None, None, 3))(preprocess(given.astype(np.float32)))
    np.testing.assert_allclose(found, expected, rtol=ROUNDING, atol=ROUNDING)


def test_record_names_the_weights_and_the_resizing(calls):
    found = InceptionV3Keras().extraction
    assert found.extractor == "inception_v3_keras" and not found.is_fid
    assert found.size == (299, 299) and found.input_range == (-1.0, 1.0)
    assert "bilinear" in found.resize and "antialiased" in found.resize
    assert found.content_hash == InceptionV3Keras().extraction.content_hash


def test_other_weights_have_another_hash(monkeypatch):
    networks = [dense_network() for _ in range(2)]
    networks[1].set_weights([weight + 1e-6 for weight in networks[1].get_weights()])
    hashes = []
    for network in networks:
        monkeypatch.setattr(keras.applications, "InceptionV3", lambda network=network, **_: network)
        hashes.append(InceptionV3Keras().extraction.content_hash)
    assert hashes[0] != hashes[1]


def test_a_global_policy_of_reduced_precision_does_not_reach_the_network(calls):
    keras.config.set_dtype_policy("mixed_bfloat16")
    InceptionV3Keras()
    assert calls[0]["policy"] == "float32"
    assert keras.config.dtype_policy().name == "mixed_bfloat16"


def test_without_a_network_it_is_said_what_to_do(monkeypatch):
    def inception(**_):
        raise Exception("URL fetch failure: no route to host")

    monkeypatch.setattr(keras.applications, "InceptionV3", inception)
    with pytest.raises(ConnectionError, match="no route to host.*notop.h5 elsewhere.*its path"):
        InceptionV3Keras()


def test_a_file_of_weights_that_does_not_fit_is_an_error_of_keras(monkeypatch):
    def inception(**_):
        raise ValueError("no such weights")

    monkeypatch.setattr(keras.applications, "InceptionV3", inception)
    with pytest.raises(ValueError, match="no such weights"):
        InceptionV3Keras(path="missing.h5")
