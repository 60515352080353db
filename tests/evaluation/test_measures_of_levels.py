"""The measures of a finished run of a hierarchy, of which the information is of the top level."""

import json

import numpy as np
import pytest

from tests.evaluation._eagerly import eagerly
from tests.evaluation._hierarchies import finished_hierarchy, hierarchy, unit_interval
from tf_sigma_vae.evaluation import image_measures, information, measures
from tf_sigma_vae.evaluation.runs import FinishedRun

OPTIONS = measures.Options(information_examples=40)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return FinishedRun(finished_hierarchy(tmp_path_factory.mktemp("runs") / "deep"))


@pytest.fixture(scope="module")
def record(run):
    with eagerly():
        return measures.obtain(run, "information", OPTIONS)


def test_the_information_is_of_the_top_level_and_its_record_says_so(run, record):
    protocol = record["protocol"]
    assert (protocol["latent"], protocol["latent_size"]) == ("top", 3)
    assert "top level of a hierarchy" in protocol["conventions"]["latent"]
    output = run.model()(unit_interval(run.images("test", 40)))
    assert record["rate"]["value"] == pytest.approx(np.mean(output.rate_groups[:, 0]), rel=1e-4)
    assert record["rate"]["value"] < 0.9 * np.mean(output.rate)


def test_the_record_is_taken_again_and_not_as_one_of_a_whole_latent(run, record):
    assert measures.stored(run, "information", OPTIONS) == record
    flat = json.loads(json.dumps(record))
    flat["protocol"]["latent"] = "whole"
    path = measures.path_of(run, "information")
    try:
        with open(path, "w", encoding="utf-8") as file:
            json.dump(flat, file)
        assert measures.stored(run, "information", OPTIONS) is None
    finally:
        with open(path, "w", encoding="utf-8") as file:
            json.dump(record, file)


def test_records_made_before_they_named_their_latent_are_of_the_whole_one(run, record):
    old = json.loads(json.dumps(record))
    del old["protocol"]["latent"]
    old["protocol"]["conventions"] = information.CONVENTIONS
    assert image_measures.fits("information", OPTIONS.resolved(360), None, old)


def test_a_top_level_that_depends_on_draws_cannot_be_measured(run, record, monkeypatch):
    both_ways = hierarchy((8, 8, 1), stochastic_bottom_up=True)
    monkeypatch.setattr(run, "model", lambda: both_ways)
    options, message = OPTIONS._replace(information_examples=41), "mixture .* stochastic_bottom_up"
    with pytest.raises(measures.NotMeasurableError, match=message):
        measures.obtain(run, "information", options)
    assert measures.stored(run, "information", OPTIONS) == record
