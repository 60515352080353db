import csv
import io

import pytest

from tests.sweep import _fakes
from tf_sigma_vae.sweep import tables


def about(study="beta", **changes):
    return tables.About(study, _fakes.config(**changes), 1234, "test", 7)


def cells(markdown):
    """The table's lines as lists of cells, without the rule."""
    lines = [line for line in markdown.splitlines() if line.startswith("|")]
    split = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [split[0], *split[2:]]


BETA_RESULTS = [
    _fakes.result("beta=0.1", 0, elbo=-5.0, rate=2.0, mse=0.25, beta_equivalent=0.1),
    _fakes.result("beta=0.1", 1, elbo=-7.0, rate=4.0, mse=0.25, beta_equivalent=0.1),
    _fakes.result("gaussian_optimal", 0, elbo=-3.0, beta_equivalent=0.0625),
]


def test_the_beta_table_has_the_columns_and_figures_of_table_1():
    heading, grid, optimal = cells(tables.table_markdown(about(), BETA_RESULTS, []))
    assert heading == [
        "row",
        "seeds",
        "beta",
        "-log p < (nats)",
        "rate (nats)",
        "distortion (nats)",
        "squared error (data²)",
        "bits/dim (mass)",
        "bits/dim (density)",
        "PSNR of the mean (dB)",
        "paper's -log p (Table 1, SVHN)",
    ]
    assert grid[:4] == ["beta-VAE, beta=0.1", "2", "0.1", "6.0 ± 1.0"]
    assert grid[4:8] == ["3.0 ± 1.0", "-", "6", "-"]
    assert grid[-1] == "-1223"
    assert optimal[:5] == ["gaussian_optimal", "1", "0.0625", "3", "-"]
    assert optimal[-1] == "-3333"


def test_the_text_says_what_was_done():
    text = tables.table_markdown(about(), BETA_RESULTS, ["beta=1 seed 0: diverged"])
    assert text.startswith("# synthetic: beta-VAEs of a grid")
    assert "vae with network dense, latent_size 3; trained for 2 epochs (1,234 steps of 8)" in text
    assert "seeds 0, 1; evaluated on 7 test images" in text
    assert "- Not in the table: beta=1 seed 0: diverged" in text
    steps = tables.table_markdown(about(num_train_steps=1234), BETA_RESULTS, [])
    assert "trained for 1,234 steps of 8, seeds 0, 1;" in steps


def test_the_grid_is_one_row_where_the_paper_has_one():
    runs = [
        _fakes.result("gaussian_fixed", elbo=-9.0, rate=1.0),
        _fakes.result("beta=0.1", elbo=-5.0, validation_elbo=-6.0, rate=2.0),
        _fakes.result("beta=1", elbo=-4.0, validation_elbo=-7.0, rate=3.0),
        _fakes.result("bernoulli", measure=None, elbo=-1.0, rate=4.0),
    ]
    heading, *rows = cells(tables.table_markdown(about("table3"), runs, []))
    assert heading[2:5] == ["-log p < (nats)", "bits/dim (mass)", "rate (nats)"]
    assert rows == [
        ["gaussian_fixed (scale=1)", "1", "9", "-", "1", "740.5"],
        ["beta-VAE, best of grid (beta=0.1, by validation elbo)", "1", "5", "-", "2", "-796.2"],
        ["bernoulli", "1", "-", "-", "4", "-"],
    ]


def test_the_decoders_table_has_bits_per_dim_in_both_conventions():
    runs = [_fakes.result("categorical", measure="mass", elbo=-9.0, bits_per_dim_mass=4.5)]
    heading, row = cells(tables.table_markdown(about("decoders"), runs, []))
    assert heading[2:8] == [
        "-log p < (nats)",
        "bits/dim (mass)",
        "bits/dim (density)",
        "rate (nats)",
        "PSNR of the mean (dB)",
        "log_scale",
    ]
    assert row[:5] == ["categorical", "1", "9", "4.5", "-"]


def test_the_csv_has_means_and_standard_errors():
    grid, optimal = csv.DictReader(io.StringIO(tables.table_csv(about(), BETA_RESULTS)))
    assert (grid["row"], grid["beta"], grid["seeds"]) == ("beta-VAE, beta=0.1", "0.1", "0 1")
    assert (float(grid["nll"]), float(grid["nll_standard_error"])) == (6.0, 1.0)
    assert (optimal["nll"], optimal["nll_standard_error"]) == ("3.0", "")
    assert (optimal["rate"], optimal["rate_standard_error"]) == ("", "")


@pytest.mark.parametrize(("seeds", "text"), [([4], "seed 4"), ([2, 0], "seeds 0, 2")])
def test_seeds_are_listed(seeds, text):
    assert tables.seeds_of([_fakes.result("beta=1", seed) for seed in seeds]) == text
