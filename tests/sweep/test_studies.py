import dataclasses
import math

import pytest

from tf_sigma_vae import build, objectives, plugins
from tf_sigma_vae.config import Config
from tf_sigma_vae.sweep import measuring, studies, tables

STUDIES = ", ".join(studies.STUDIES)
PAPER_GRID = ["beta=0.001", "beta=0.01", "beta=0.1", "beta=1", "beta=10"]


def names(*arguments, **given):
    return [row.name for row in studies.rows(*arguments, **given)]


@pytest.mark.parametrize(
    ("study", "expected"),
    [
        (
            "beta",
            [
                *PAPER_GRID,
                "gaussian_shared",
                "gaussian_optimal",
                "gaussian_optimal_per_image",
            ],
        ),
        (
            "decoders",
            [
                "bernoulli",
                "categorical",
                "bitwise_categorical",
                "logistic_mixture",
                "gaussian_fixed",
                "gaussian_per_pixel",
                "student_t",
                *PAPER_GRID,
                "gaussian_shared",
                "gaussian_optimal",
                "gaussian_optimal_per_image",
                "gaussian_per_channel",
                "gaussian_inverse_gamma",
            ],
        ),
        (
            "table3",
            [
                "gaussian_fixed",
                *PAPER_GRID,
                "gaussian_per_pixel",
                "gaussian_shared",
                "bernoulli",
                "gaussian_optimal",
            ],
        ),
        (
            "figure4",
            [
                *(f"beta={beta}" for beta in (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10)),
                "gaussian_shared",
                "gaussian_optimal",
            ],
        ),
        ("figure9", ["gaussian_shared", "gaussian_shared_data", "gaussian_optimal"]),
    ],
)
def test_rows_stand_in_the_order_of_the_paper(study, expected):
    assert names(study) == expected


@pytest.mark.parametrize("study", studies.STUDIES)
def test_every_row_is_a_configuration_that_can_be_built(study):
    for row in studies.rows(study):
        assert row.likelihood in plugins.names("likelihoods")
        build.check(row.config(Config(), seed=3))


@pytest.mark.parametrize("beta", [0.001, 0.006, 1.0, 10.0])
def test_a_beta_becomes_the_scale_of_the_same_optimum(beta):
    row = studies.grid_row(beta)
    config = row.config(Config(likelihood="gaussian_shared", seed=9), seed=4)
    scale = config.likelihood_options["scale"]
    assert scale == pytest.approx(math.sqrt(beta / 2), rel=1e-15)
    assert objectives.beta_equivalent(scale) == pytest.approx(beta, rel=1e-15)
    assert (config.likelihood, config.beta, config.seed) == ("gaussian_fixed", 1.0, 4)


def test_the_unit_gaussian_is_not_the_beta_of_one():
    rows = {row.name: row for row in studies.rows("table3")}
    config = rows["gaussian_fixed"].config(Config(), seed=0)
    assert build.likelihood(config).scale == 1.0
    assert rows["gaussian_fixed"].label == "gaussian_fixed (scale=1)"
    assert rows["beta=1"].options["scale"] == pytest.approx(math.sqrt(0.5))


def test_a_row_says_which_options_the_sweep_has_chosen():
    labels = {row.name: row.label for row in studies.rows("beta")}
    assert labels["gaussian_shared"] == (
        "gaussian_shared (initial_scale=data, scale_learning_rate_multiplier=10)"
    )
    assert labels["gaussian_optimal"] == "gaussian_optimal"
    assert labels["beta=0.1"] == "beta=0.1"


def test_figure_9_has_the_paper_s_shared_scale_and_that_of_other_sweeps():
    rows = {row.name: row for row in studies.rows("figure9")}
    paper, data = rows["gaussian_shared"], rows["gaussian_shared_data"]
    assert (paper.likelihood, data.likelihood) == ("gaussian_shared", "gaussian_shared")
    assert paper.options == {"initial_scale": 1.0, "scale_learning_rate_multiplier": 1.0}
    (usual,) = studies.rows("beta", [], ["gaussian_shared"])
    assert data.options == usual.options != paper.options
    assert data.label.startswith("gaussian_shared_data (initial_scale=data")


def test_a_study_can_be_cut_to_some_rows():
    assert names("table3", betas=[2, 0.5], variants=["bernoulli", "gaussian_fixed"]) == [
        "gaussian_fixed",
        "beta=0.5",
        "beta=2",
        "bernoulli",
    ]
    assert names("beta", betas=[], variants=["gaussian_optimal"]) == ["gaussian_optimal"]
    assert names("beta", betas=[0.5], variants=[]) == ["beta=0.5"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"name": "table4"}, f"unknown sweep 'table4'; known: {STUDIES}"),
        ({"name": "beta", "variants": ["bernoulli"]}, "has no variant 'bernoulli'; it has: gauss"),
        ({"name": "beta", "betas": [0.1, -1.0]}, "must be positive and finite, got -1"),
        ({"name": "beta", "betas": [0.0]}, "must be positive and finite, got 0"),
        ({"name": "beta", "betas": [float("inf")]}, "must be positive and finite, got inf"),
        ({"name": "beta", "betas": [0.1, 1, 0.1]}, "--betas gives beta=0.1 twice"),
        ({"name": "beta", "variants": ["gaussian_shared"] * 2}, "--variants gives gaussian_shared"),
        ({"name": "figure9", "betas": [0.1]}, "--sweep=figure9 has no grid"),
        ({"name": "beta", "betas": [], "variants": []}, "both --variants and --betas are empty"),
    ],
)
def test_what_makes_no_sense_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        studies.rows(**given)


@pytest.mark.parametrize(("seeds", "message"), [([], "is empty"), ([1, 2, 1], "gives 1 twice")])
def test_seeds_are_some_and_different(seeds, message):
    with pytest.raises(ValueError, match=message):
        studies.check_seeds(seeds)


TABLES = ["beta", "decoders", "decoders_cifar", "decoders_celeba", "table3"]


@pytest.mark.parametrize("name", TABLES)
def test_the_figures_of_the_paper_belong_to_rows(name):
    study = studies.STUDIES[name]
    rows = set(names(name)) | set(study.variants)
    for figures in (study.printed.nll, study.printed.fid):
        assert set(figures) <= rows
        assert all(math.isfinite(float(figure)) for figure in figures.values())
    assert all(float(figure) > 0 for figure in study.printed.fid.values())


@pytest.mark.parametrize("study", studies.STUDIES.values(), ids=list(studies.STUDIES))
def test_what_a_study_sets_exists(study):
    assert set(study.columns) <= set(tables.COLUMNS)
    assert set(study.measures) <= set(measuring.NAMES)
    assert set(study.special_rows) <= set(study.variants)
    dataclasses.replace(Config(), **study.config)
