import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.evaluation.fid._networks import dense_network
from tf_sigma_vae.evaluation.fid import ClipNetwork

SHAPE = (3, 4, 6, 1)
# Of sums over a clip in float32.
ROUNDING = 1e-5


def network(path, shape=SHAPE):
    clips = keras.Input(shape)
    keras.Model(clips, keras.layers.GlobalAveragePooling3D()(clips)).save(path)
    return str(path)


def levels(shape=SHAPE, num_clips=2):
    return np.random.default_rng(0).integers(0, 256, (num_clips, *shape), dtype=np.uint8)


def test_clips_become_features_in_the_range_of_the_network(tmp_path):
    path, x = network(tmp_path / "a.keras"), levels()
    found = ClipNetwork(path)(x)
    np.testing.assert_allclose(found, x.mean(axis=(1, 2, 3)), rtol=ROUNDING)
    scaled = ClipNetwork(path, input_range=(-1.0, 1.0))(x)
    np.testing.assert_allclose(scaled, found / 127.5 - 1.0, rtol=1e2 * ROUNDING, atol=ROUNDING)


def test_frames_are_resized_to_a_fixed_size_and_gray_is_repeated(tmp_path):
    extract = ClipNetwork(network(tmp_path / "a.keras", (None, 8, 10, 3)))
    x = np.full([2, 5, 4, 6, 1], 100, np.uint8)
    np.testing.assert_allclose(extract(x), np.full([2, 3], 100.0), rtol=ROUNDING)
    assert extract.extraction.size == (8, 10)
    assert extract.clip_length is None


def test_any_size_is_left_to_a_network_that_takes_it(tmp_path):
    extract = ClipNetwork(network(tmp_path / "a.keras", (None, None, None, 1)))
    assert extract.extraction.resize == "none before the network"
    assert extract(levels((7, 5, 4, 1))).shape == (2, 1)


def test_a_saved_model_is_a_network_too(tmp_path):
    class Mean(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, *SHAPE], name="clips")])
        def call(self, clips):
            return {"features": tf.reduce_mean(clips, axis=[1, 2, 3])}

    module = Mean()
    tf.saved_model.save(module, str(tmp_path / "m"), {"serving_default": module.call})
    x = levels()
    found = ClipNetwork(str(tmp_path / "m"))(x)
    np.testing.assert_allclose(found, x.mean(axis=(1, 2, 3)), rtol=ROUNDING)


def test_what_does_not_fit_is_refused_by_name(tmp_path):
    extract = ClipNetwork(network(tmp_path / "a.keras"))
    with pytest.raises(ValueError, match="takes clips of 3 frames, those of .* have 5"):
        extract(levels((5, 4, 6, 1)))
    with pytest.raises(ValueError, match="takes clips of 1 channels, or of one, got 3"):
        extract.check(3, 3)
    with pytest.raises(FileNotFoundError, match="no network of clips at 'absent'"):
        ClipNetwork("absent")
    dense_network().save(tmp_path / "images.keras")
    with pytest.raises(ValueError, match=r"must take float examples \[B, T, H, W, C\]"):
        ClipNetwork(str(tmp_path / "images.keras"))
