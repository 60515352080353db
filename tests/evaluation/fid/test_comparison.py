import numpy as np
import pytest

from tests._models import set_weights, tiny_vae
from tests.evaluation.fid._networks import IMAGE_SHAPE, Averages, levels
from tf_sigma_vae.evaluation import fid
from tf_sigma_vae.evaluation.fid import distance


def measured(num_images=60, extractor=None, shape=IMAGE_SHAPE, seed=0, **options):
    given = fid.dataset_images(levels(num_images, shape, seed, **options), "digits", "test")
    return fid.features(extractor or Averages(), given)


def test_distances_are_those_of_the_features_with_their_protocol():
    reference, samples = measured(70), measured(50, seed=1, brightest=200)
    metrics, protocol = fid.compare(reference, samples, extrapolate=True)
    both = (reference.features, samples.features)
    statistics = (reference.statistics, samples.statistics)
    assert metrics == {
        "kid": distance.kernel_distance(*both),
        "frechet": distance.frechet(*statistics, *both),
        "frechet_extrapolated": distance.extrapolated_frechet(*statistics, *both),
    }
    assert protocol == fid.Protocol(reference.extraction, reference.source, samples.source)
    assert all(estimate.standard_error > 0 and estimate.unit for estimate in metrics.values())


def test_extrapolation_is_an_option():
    assert set(fid.compare(measured(), measured(seed=1)).metrics) == {"frechet", "kid"}


def test_every_distance_has_a_name_in_print():
    metrics, protocol = fid.compare(measured(), measured(seed=1), extrapolate=True)
    names = [protocol.label(metric) for metric in metrics]
    assert len(set(names)) == 3
    assert all("(averages 00000000)" in name and "FID" not in name for name in names)


def test_the_same_images_have_no_distance():
    metrics, _ = fid.compare(measured(), measured())
    assert 0.0 <= metrics["frechet"].value < 1e-6 * np.trace(measured().statistics.covariance)


def test_sets_that_were_not_measured_alike_have_no_distance():
    with pytest.raises(fid.ProtocolMismatchError, match="content_hash: '0+1' != '0+2'"):
        fid.compare(measured(), measured(extractor=Averages(2.0)))
    with pytest.raises(fid.ProtocolMismatchError, match=r"image_shape: .*\(4, 6, 1\)"):
        fid.compare(measured(), measured(shape=(4, 6, 1)))


def test_features_must_have_been_kept():
    without = measured()._replace(features=None)
    with pytest.raises(ValueError, match="features of the reference were not kept"):
        fid.compare(without, measured())
    with pytest.raises(ValueError, match="features of the samples were not kept"):
        fid.compare(measured(), without)


def test_small_sets_are_refused():
    with pytest.raises(ValueError, match="at least 20 images, got 19"):
        fid.compare(measured(), measured(19))


def test_samples_of_a_model_are_compared_with_data():
    model = set_weights(tiny_vae("gaussian_fixed", IMAGE_SHAPE))
    distances = {}
    for draw, seed in (("mean", 0), ("mean", 1), ("noisy", 0)):
        samples = fid.features(Averages(), fid.prior_samples(model, 40, draw, seed))
        distances[draw, seed] = fid.compare(measured(), samples)
    protocols = {key: found.protocol for key, found in distances.items()}
    fid.require_comparable(protocols["mean", 0], protocols["mean", 1])
    with pytest.raises(fid.ProtocolMismatchError, match="samples.draw: 'mean' != 'noisy'"):
        fid.require_comparable(protocols["mean", 0], protocols["noisy", 0])
    values = [found.metrics["frechet"].value for found in distances.values()]
    assert len(set(values)) == 3
