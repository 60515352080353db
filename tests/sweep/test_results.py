import csv
import io

import numpy as np
import pytest

from tests.sweep import _fakes
from tf_sigma_vae.sweep import results

EXACT = 1e-12
"""Rounding of float64 only."""


def test_the_mean_over_seeds_has_its_standard_error():
    values = np.array([3.0, 4.5, 9.25])
    found = results.over_seeds(values)
    assert found.value == pytest.approx(np.mean(values), rel=EXACT)
    by_hand = np.sqrt(((values - values.mean()) ** 2).sum() / 2 / 3)
    assert found.standard_error == pytest.approx(by_hand, rel=EXACT)


def test_one_seed_has_no_standard_error():
    assert results.over_seeds([2.5]) == (2.5, None, (2.5,))


def test_figures_of_a_run_are_derived_from_its_metrics():
    found = _fakes.result("beta=1", elbo=-12.5, mse=0.5, validation_elbo=-9.0).figures()
    assert found == {
        "elbo": -12.5,
        "nll": 12.5,
        "mse": 0.5,
        "squared_error": 0.5 * _fakes.NUM_DIMS,
        "validation_elbo": -9.0,
    }


def test_what_is_not_normalized_has_no_bound():
    assert "nll" not in _fakes.result("bernoulli", measure=None, elbo=-12.5).figures()


def test_rows_are_summarized_over_their_seeds():
    found = results.summaries(
        [
            _fakes.result("beta=1", 0, elbo=-1.0, rate=2.0),
            _fakes.result("beta=1", 1, elbo=-2.0, rate=3.0),
            _fakes.result("gaussian_optimal", 1, elbo=-7.0),
        ]
    )
    assert [(s.row.name, s.seeds) for s in found] == [
        ("beta=1", (0, 1)),
        ("gaussian_optimal", (1,)),
    ]
    assert found[0].figures["rate"] == (2.5, 0.5, (2.0, 3.0))
    assert "rate" not in found[1].figures


def test_a_figure_that_one_seed_lacks_is_not_averaged():
    runs = [_fakes.result("beta=1", 0, elbo=-1.0, rate=2.0), _fakes.result("beta=1", 1, elbo=-2.0)]
    assert "rate" not in results.summaries(runs)[0].figures


def test_the_best_of_the_grid_is_chosen_by_the_validation_elbo():
    found = results.summaries(
        [
            _fakes.result("beta=0.1", 0, elbo=-5.0, validation_elbo=-9.0),
            _fakes.result("beta=1", 0, elbo=-8.0, validation_elbo=-6.0),
            _fakes.result("beta=1", 1, elbo=-8.0, validation_elbo=-8.0),
            _fakes.result("gaussian_optimal", 0, elbo=-1.0),
        ]
    )
    best, split = results.best_of_grid(found, "test")
    assert (best.row.name, split) == ("beta=1", "validation")


def test_without_a_validation_split_it_is_chosen_by_the_evaluated_one():
    found = results.summaries(
        [_fakes.result("beta=0.1", elbo=-5.0), _fakes.result("beta=1", elbo=-8.0)]
    )
    best, split = results.best_of_grid(found, "test")
    assert (best.row.name, split) == ("beta=0.1", "test")


def test_without_a_grid_there_is_no_best():
    found = results.summaries([_fakes.result("gaussian_optimal", elbo=-5.0)])
    assert results.best_of_grid(found, "test") == (None, "")


def test_the_file_has_a_line_for_each_run_and_a_gap_where_a_metric_is_absent():
    text = results.results_csv(
        [
            _fakes.result("beta=0.1", 0, elbo=-5.0, mse=0.25, validation_elbo=-4.0),
            _fakes.result("bernoulli", 2, measure=None, elbo=-8.0),
        ]
    )
    first, second = csv.DictReader(io.StringIO(text))
    assert (first["row"], first["variant"], first["beta"]) == ("beta=0.1", "gaussian_fixed", "0.1")
    assert (first["seed"], first["step"], first["num_examples"]) == ("0", "6", "7")
    assert (first["nll"], first["squared_error"], first["validation_elbo"]) == (
        "5.0",
        "6.0",
        "-4.0",
    )
    assert first["mse_standard_error_over_images"] == "0.25"
    assert (second["row"], second["beta"], second["measure"]) == ("bernoulli", "", "none")
    assert (second["elbo"], second["nll"], second["mse"]) == ("-8.0", "", "")
    assert second["mse_standard_error_over_images"] == ""


def test_measures_are_figures_and_say_how_they_were_made():
    measured = {
        "distances": _fakes.distances(12.5, kid=0.25),
        "information": _fakes.information(9.0, 2.0, 4.0, saturated=True),
    }
    first, second = csv.DictReader(
        io.StringIO(
            results.results_csv(
                [
                    _fakes.result("beta=1", 0, elbo=-5.0, measured=measured),
                    _fakes.result("beta=1", 1, elbo=-5.0),
                ]
            )
        )
    )
    assert (first["frechet"], first["frechet_standard_error_over_images"]) == ("12.5", "0.75")
    assert first["kid"] == "0.25"
    names = ("mutual_information", "marginal_kl")
    ends = [first[f"{name}_{end}"] for name in names for end in ("lower", "upper")]
    assert ends == ["2.0", "4.0", "5.0", "7.0"]
    assert first["frechet_label"] == "frechet distance (saved_file 01234567)"
    assert (first["distance_samples"], first["draw"]) == ("7", "mean")
    assert (first["information_examples"], first["information_saturated"]) == ("7", "True")
    assert (second["frechet"], second["frechet_label"], second["draw"]) == ("", "", "")


def test_rates_of_levels_and_the_latent_of_the_information_are_in_the_table_of_runs():
    record = {"information": _fakes.information(2.0, 1.0, 1.5, latent="top")}
    given = {"elbo": -1.0, "rate": 3.0, "distortion": -2.0, "rate_level_10": 0.5}
    deep = _fakes.result("gaussian_optimal", measured=record, rate_level_9=2.5, **given)
    (line,) = csv.DictReader(io.StringIO(results.results_csv([deep])))
    names = [name for name in line if name in deep.figures()]
    assert names[:5] == ["elbo", "rate", "rate_level_9", "rate_level_10", "distortion"]
    assert (line["rate_level_10"], line["information_latent"]) == ("0.5", "top")
    assert results.summaries([deep])[0].figures["rate_level_9"].value == 2.5
