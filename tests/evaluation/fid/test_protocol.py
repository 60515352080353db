import dataclasses
import json

import pytest

from tf_sigma_vae.evaluation.fid import protocol
from tf_sigma_vae.evaluation.fid.protocol import Extraction, Protocol, Source

FID = Extraction(
    "inception_2015", protocol.FID_GRAPH_SHA256, "bilinear in the graph", (299, 299), (0.0, 255.0)
)
OTHER = Extraction("saved_file", "5d7c1e02" + 56 * "a", "none", None, (0.0, 255.0))
REFERENCE = Source("data", 300, (8, 6, 3), True, "digits", "test", content_hash="b" * 64)
SAMPLES = Source("mean", 200, (8, 6, 3), True, seed=0, content_hash="c" * 64)


def record(extraction=OTHER, reference=None, **samples):
    return Protocol(
        extraction,
        dataclasses.replace(REFERENCE, **(reference or {})),
        dataclasses.replace(SAMPLES, **samples),
    )


def test_only_the_graph_of_2015_gives_fid():
    assert record(FID).label("frechet") == "FID"
    assert record(FID).label("kid") == "KID"
    assert record(OTHER).label("frechet") == "frechet distance (saved_file 5d7c1e02)"
    assert record(OTHER).label("kid") == "kernel distance (saved_file 5d7c1e02)"
    assert record(FID).label("frechet_extrapolated").startswith("FID extrapolated")
    assert "FID" not in record(OTHER).label("frechet_extrapolated")


def test_neither_the_name_nor_the_content_alone_makes_it_fid():
    other_graph = dataclasses.replace(FID, content_hash="0" * 64)
    assert record(other_graph).label("frechet") == "frechet distance (inception_2015 00000000)"
    assert not dataclasses.replace(FID, extractor="saved_file").is_fid


@pytest.mark.parametrize("extraction", [FID, OTHER])
def test_a_record_comes_back_from_json(extraction):
    given = record(extraction)
    text = json.dumps(given.to_dict(), allow_nan=False)
    assert Protocol.from_dict(json.loads(text)) == given


def test_another_seed_may_be_compared():
    protocol.require_comparable(record(), record(seed=1, content_hash="d" * 64))


@pytest.mark.parametrize(
    ("other", "named"),
    [
        (record(FID), "extraction.extractor: 'saved_file' != 'inception_2015'"),
        (record(dataclasses.replace(OTHER, content_hash="e" * 64)), "extraction.content_hash: "),
        (record(dataclasses.replace(OTHER, resize="area")), "extraction.resize: 'none' != 'area'"),
        (record(dataclasses.replace(OTHER, size=(9, 7))), r"extraction.size: None != \[9, 7\]"),
        (record(dataclasses.replace(OTHER, input_range=(-1, 1))), "extraction.input_range: "),
        (record(num_images=100), "samples.num_images: 200 != 100"),
        (record(draw="noisy"), "samples.draw: 'mean' != 'noisy'"),
        (record(eight_bit=False), "samples.eight_bit: True != False"),
        (record(reference={"split": "train"}), "reference.split: 'test' != 'train'"),
        (record(reference={"content_hash": "f" * 64}), "reference.content_hash: "),
        (record(reference={"num_images": 5}), "reference.num_images: 300 != 5"),
    ],
)
def test_another_protocol_is_refused_by_the_name_of_the_field(other, named):
    with pytest.raises(protocol.ProtocolMismatchError, match=f"cannot be compared: .*{named}"):
        protocol.require_comparable(record(), other)


def test_all_fields_that_differ_are_named():
    with pytest.raises(protocol.ProtocolMismatchError) as caught:
        protocol.require_comparable(record(), record(draw="noisy", num_images=7, seed=3))
    assert "samples.draw" in str(caught.value) and "samples.num_images" in str(caught.value)
    assert "seed" not in str(caught.value)


def test_sets_of_other_networks_or_image_sizes_have_no_distance():
    protocol.require_same_extraction((OTHER, REFERENCE), (OTHER, SAMPLES))
    smaller = dataclasses.replace(SAMPLES, image_shape=(4, 6, 3))
    with pytest.raises(protocol.ProtocolMismatchError, match=r"image_shape: \(8, 6, 3\) != \(4,"):
        protocol.require_same_extraction((OTHER, REFERENCE), (OTHER, smaller))
    with pytest.raises(protocol.ProtocolMismatchError, match="extractor: .*; content_hash: "):
        protocol.require_same_extraction((OTHER, REFERENCE), (FID, SAMPLES))


def test_a_draw_has_one_of_three_names():
    with pytest.raises(ValueError, match="one of data, mean, noisy, got 'clean'"):
        Source("clean", 1, (2, 2, 1), True)
