import hashlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.evaluation.fid._networks import levels
from tests.evaluation.fid.extractors import _frozen_graph
from tf_sigma_vae.evaluation.fid import protocol
from tf_sigma_vae.evaluation.fid.extractors import inception_2015
from tf_sigma_vae.evaluation.fid.extractors.inception_2015 import Inception2015

# float32 against float64, over a few dozen operations.
ROUNDING = 1e-5


def written(tmp_path, graph, name="graph.pb"):
    path = tmp_path / name
    path.write_bytes(graph.SerializeToString())
    return str(path)


@pytest.fixture
def path(tmp_path):
    return written(tmp_path, _frozen_graph.graph_def())


@pytest.mark.parametrize("shape", [(4, 6, 3), (9, 5, 3), (*_frozen_graph.RESIZED, 3)])
def test_features_are_those_of_the_graph_with_its_own_resizing(path, shape):
    extractor = Inception2015(path)
    for num_images in (6, 1):
        given = levels(num_images, shape)
        found = extractor(given)
        assert found.shape == (num_images, _frozen_graph.NUM_FEATURES)
        np.testing.assert_allclose(
            found, _frozen_graph.expected_features(given), rtol=ROUNDING, atol=ROUNDING
        )


def test_a_grey_image_is_a_color_image_of_equal_channels(path):
    grey = levels(3, (4, 6, 1))
    extractor = Inception2015(path)
    np.testing.assert_array_equal(extractor(grey), extractor(grey.repeat(3, axis=-1)))


def test_record_holds_the_hash_of_the_file_and_the_resizing_of_the_graph(path):
    with open(path, "rb") as file:
        content_hash = hashlib.sha256(file.read()).hexdigest()
    assert Inception2015(path).extraction == protocol.Extraction(
        "inception_2015",
        content_hash,
        "bilinear in the graph, align_corners=False, half_pixel_centers=False",
        _frozen_graph.RESIZED,
        (0.0, 255.0),
    )


def test_another_graph_is_not_fid(path):
    extraction = Inception2015(path).extraction
    assert not extraction.is_fid
    assert extraction.label == f"inception_2015 {extraction.content_hash[:8]}"


def test_the_graph_is_fetched_by_its_hash(path, monkeypatch):
    calls = []

    def get_file(*arguments, **options):
        calls.append((arguments, options))
        return path

    monkeypatch.setattr(keras.utils, "get_file", get_file)
    assert Inception2015().extraction == Inception2015(path).extraction
    ((arguments, options),) = calls
    assert arguments == (inception_2015.FILE, inception_2015.URL)
    assert options == {"file_hash": protocol.FID_GRAPH_SHA256, "hash_algorithm": "sha256"}


def test_without_a_network_it_is_said_what_to_do(monkeypatch):
    def get_file(*_, **__):
        raise Exception("URL fetch failure: no route to host")

    monkeypatch.setattr(keras.utils, "get_file", get_file)
    with pytest.raises(ConnectionError, match="no route to host.*elsewhere.*give its path"):
        Inception2015()


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere.pb"):
        Inception2015(str(tmp_path / "nowhere.pb"))


def test_a_file_that_is_no_graph_is_refused(tmp_path):
    path = tmp_path / "graph.pb"
    path.write_bytes(b"\xff" * 100)
    with pytest.raises(ValueError, match="graph.pb' holds no graph"):
        Inception2015(str(path))


def test_a_graph_without_the_tensors_of_fid_is_refused(tmp_path):
    graph = tf.compat.v1.GraphDef()
    graph.node.extend(n for n in _frozen_graph.graph_def().node if n.name != "pool_3")
    with pytest.raises(ValueError, match="not the graph of FID: it has no pool_3:0"):
        Inception2015(written(tmp_path, graph))
