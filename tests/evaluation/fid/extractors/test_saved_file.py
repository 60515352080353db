import hashlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.evaluation.fid._networks import dense_network, levels
from tf_sigma_vae.evaluation.fid.extractors.saved_file import SavedFile

# Resized pixels are float32 sums of a few products.
ROUNDING = 1e-5
ANY_SIZE = (None, None, 3)


def keras_file(tmp_path, network, name="network.keras"):
    path = str(tmp_path / name)
    network.save(path)
    return path


def saved_model(tmp_path, network, names=("features",)):
    """A SavedModel as `keras.export` writes them, with named outputs."""
    archive = keras.export.ExportArchive()
    archive.track(network)

    def serve(images):
        outputs = network(images)
        return dict(zip(names, outputs if len(names) > 1 else [outputs], strict=True))

    spec = tf.TensorSpec((None, *network.input_shape[1:]), tf.float32, "images")
    archive.add_endpoint("serving_default", serve, [spec])
    path = str(tmp_path / "saved_model")
    archive.write_out(path, verbose=False)
    return path


def test_a_keras_file_of_any_size_gets_the_images_as_they_are(tmp_path):
    network, given = dense_network(ANY_SIZE), levels(7, (4, 6, 3))
    extractor = SavedFile(keras_file(tmp_path, network))
    expected = network(given.astype(np.float32))
    np.testing.assert_allclose(extractor(given), expected, rtol=ROUNDING, atol=ROUNDING)
    assert extractor(given[:2]).shape == (2, 5)
    assert (extractor.extraction.size, extractor.extraction.resize) == (
        None,
        "none before the network",
    )


@pytest.mark.parametrize("shape", [(4, 6, 3), (33, 21, 3)])
def test_a_network_of_fixed_size_gets_images_of_that_size(tmp_path, shape):
    network, given = dense_network((8, 10, 3)), levels(3, shape)
    extractor = SavedFile(keras_file(tmp_path, network))
    resized = tf.image.resize(given.astype(np.float32), (8, 10), antialias=True)
    np.testing.assert_allclose(extractor(given), network(resized), rtol=ROUNDING, atol=ROUNDING)
    assert extractor.extraction.size == (8, 10)
    assert extractor.extraction.resize.startswith("bilinear before the network")


def test_levels_are_mapped_to_the_range_that_is_asked_for(tmp_path):
    network, given = dense_network(ANY_SIZE), levels(3, (4, 6, 3))
    extractor = SavedFile(keras_file(tmp_path, network), input_range=[-1.0, 1.0])
    expected = network(given.astype(np.float32) / 127.5 - 1.0)
    np.testing.assert_allclose(extractor(given), expected, rtol=ROUNDING, atol=ROUNDING)
    assert extractor.extraction.input_range == (-1.0, 1.0)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_grey_image_goes_to_networks_of_one_channel_or_of_three(tmp_path, channels):
    network, given = dense_network((None, None, channels)), levels(3, (4, 6, 1))
    extractor = SavedFile(keras_file(tmp_path, network))
    expected = network(given.astype(np.float32).repeat(channels, axis=-1))
    np.testing.assert_allclose(extractor(given), expected, rtol=ROUNDING, atol=ROUNDING)


def test_a_saved_model_gives_what_its_network_does(tmp_path):
    network, given = dense_network((8, 10, 3)), levels(3, (8, 10, 3))
    extractor = SavedFile(saved_model(tmp_path, network))
    expected = network(given.astype(np.float32))
    np.testing.assert_allclose(extractor(given), expected, rtol=ROUNDING, atol=ROUNDING)
    assert extractor.extraction.size == (8, 10)


def test_a_folder_has_another_hash_with_another_file_in_it(tmp_path):
    path = saved_model(tmp_path, dense_network((8, 10, 3)))
    hashes = [SavedFile(path).extraction.content_hash for _ in range(2)]
    (tmp_path / "saved_model" / "labels.txt").write_text("another file")
    hashes.append(SavedFile(path).extraction.content_hash)
    assert hashes[0] == hashes[1] != hashes[2]


def test_record_holds_the_hash_of_the_file(tmp_path):
    path = keras_file(tmp_path, dense_network(ANY_SIZE))
    with open(path, "rb") as file:
        content_hash = hashlib.sha256(file.read()).hexdigest()
    found = SavedFile(path).extraction
    assert (found.extractor, found.content_hash) == ("saved_file", content_hash)
    assert not found.is_fid


def test_a_network_of_two_outputs_is_refused(tmp_path):
    network = dense_network((8, 10, 3), num_outputs=2)
    with pytest.raises(ValueError, match="must have one output, it has .*, 5\\).*, 5\\)"):
        SavedFile(keras_file(tmp_path, network))
    with pytest.raises(ValueError, match="must have one output, it has .*'first .*'second "):
        SavedFile(saved_model(tmp_path, network, ("first", "second")))


def test_a_network_that_takes_no_images_is_refused(tmp_path):
    vectors = keras.Sequential([keras.Input((7,)), keras.layers.Dense(2)])
    with pytest.raises(ValueError, match=r"float images \[B, H, W, C\], it takes float32"):
        SavedFile(keras_file(tmp_path, vectors))


def test_a_saved_model_without_the_signature_is_refused(tmp_path):
    module = tf.Module()
    module.f = tf.function(lambda x: x, input_signature=[tf.TensorSpec([None])])
    tf.saved_model.save(module, str(tmp_path / "m"), signatures={"other": module.f})
    with pytest.raises(ValueError, match=r"no signature 'serving_default'; it has \['other'"):
        SavedFile(str(tmp_path / "m"))


def test_the_path_must_be_given_and_lead_somewhere(tmp_path):
    with pytest.raises(ValueError, match="saved_file needs the path"):
        SavedFile()
    with pytest.raises(FileNotFoundError, match="no network at .*gone.keras"):
        SavedFile(str(tmp_path / "gone.keras"))
