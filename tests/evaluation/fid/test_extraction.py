import dataclasses

import numpy as np
import pytest

from tests.evaluation.fid._networks import Averages, levels
from tf_sigma_vae.evaluation.fid import images
from tf_sigma_vae.evaluation.fid.extraction import features

MANY = 2 * images.CHUNK + 7


def test_features_are_those_of_the_images_in_their_order():
    given, extractor = levels(MANY), Averages()
    found = features(extractor, images.dataset_images(given, "digits", "test"))
    expected = extractor(given)
    np.testing.assert_array_equal(found.features, expected)
    assert found.features.dtype == np.float32
    np.testing.assert_allclose(found.statistics.mean, expected.mean(axis=0), rtol=1e-6)
    covariance = np.cov(expected.T.astype(np.float64))
    np.testing.assert_allclose(found.statistics.covariance, covariance, atol=1e-9)


def test_a_set_says_what_was_done_to_which_images():
    given, extractor = images.dataset_images(levels(9), "digits", "test"), Averages()
    found = features(extractor, given)
    assert found.extraction is extractor.extraction
    content_hash = images.with_content_hash(given).content_hash
    assert found.source == dataclasses.replace(given.source, content_hash=content_hash)


def test_features_need_not_be_kept():
    given = images.dataset_images(levels(9))
    found = features(Averages(), given, keep_features=False)
    assert found.features is None
    kept = features(Averages(), given).statistics
    np.testing.assert_array_equal(found.statistics.scatter, kept.scatter)


def test_progress_counts_every_image():
    counts = []
    features(Averages(), images.dataset_images(levels(MANY)), progress=counts.append)
    assert counts == [images.CHUNK, images.CHUNK, 7]


def test_no_images_have_no_features():
    none = images.Images(images.Source("data", 0, (4, 6, 3), True), lambda: iter(()))
    with pytest.raises(ValueError, match="no images"):
        features(Averages(), none)
