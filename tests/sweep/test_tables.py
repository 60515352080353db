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
        "ordering of -log p holds?",
    ]
    assert grid[:4] == ["beta-VAE, beta=0.1", "2", "0.1", "6.0 ± 1.0"]
    assert grid[4:8] == ["3.0 ± 1.0", "-", "6", "-"]
    assert grid[-2:] == ["-1223", "open: gaussian_optimal (0 of 1 decided)"]
    assert optimal[:5] == ["gaussian_optimal", "1", "0.0625", "3", "-"]
    assert optimal[-2:] == ["-3333", "1 seed"]


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
    best = "beta-VAE, best of grid (beta=0.1, by validation elbo)"
    assert rows == [
        ["gaussian_fixed (scale=1)", "1", "9", "-", "1", "740.5", "1 seed"],
        [best, "1", "5", "-", "2", "-796.2", "1 seed"],
        ["bernoulli", "1", "-", "-", "4", "-", "-"],
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


def seeds_of(name, paper_like, frechet, measure="density"):
    """Three seeds of a row that lie close together."""
    return [
        _fakes.result(
            name,
            seed,
            measure,
            elbo=-paper_like - seed,
            measured={
                "distances": _fakes.distances(frechet + seed, kid=0.5),
                "information": _fakes.information(9.0, 2.0 + seed, 4.0 + seed, seed == 2),
            },
        )
        for seed in (0, 1, 2)
    ]


MEASURED = [
    # In the paper's order by -log p, and not by FID: 44.54, 27.93, 22.25.
    *seeds_of("beta=0.001", 500.0, 400.0),
    *seeds_of("beta=0.01", 300.0, 200.0),
    *seeds_of("gaussian_shared", 100.0, 300.0),
]


def test_measures_have_columns_and_the_paper_s_fid_beside_them():
    heading, first, second, third = cells(tables.table_markdown(about(), MEASURED, []))
    assert heading[-8:-4] == [
        "frechet distance (saved_file 01234567)",
        "kernel distance (saved_file 01234567)",
        "I(x; z) (nats)",
        "marginal KL (nats)",
    ]
    assert heading[-4:] == [
        "paper's -log p (Table 1, SVHN)",
        "ordering of -log p holds?",
        "paper's FID (Table 1, SVHN)",
        "ordering of the distance holds?",
    ]
    assert first[-8:-4] == ["401.00 ± 0.58", "0.5", "3 to 5 *", "4 to 6 *"]
    assert first[-4:] == ["21.43", "yes (2 of 2)", "44.54", "yes (2 of 2)"]
    assert second[-2:] == ["27.93", "no: better than gaussian_shared (1 of 2)"]
    assert third[-2:] == ["22.25", "no: worse than beta=0.01 (1 of 2)"]


def test_notes_say_how_measures_and_orderings_came_about():
    text = tables.table_markdown(about(), MEASURED, [])
    assert "- orderings of -log p: 3 agree, 0 contradict, 0 open, of 3 pairs" in text
    assert "- orderings of the distance: 2 agree, 1 contradict, 0 open, of 3 pairs" in text
    assert "between 7 samples (mean images, no noise of the decoder) and as many test" in text
    assert "of 7 test images. `*`: saturated" in text
    assert "Welch's t-test over the seeds (two-sided) has p < 0.05" in text
    assert "FID" not in text.replace("paper's FID", "").replace("that of FID gives FID", "")


def test_densities_and_masses_are_not_ordered_by_their_bounds():
    runs = [*seeds_of("categorical", 500.0, 400.0, "mass"), *seeds_of("student_t", 1.0, 300.0)]
    _, *rows = cells(tables.table_markdown(about("decoders"), runs, []))
    assert [row[-3] for row in rows] == ["-", "-"]
    # FID of the paper: 46.13 and 70.4.
    assert [row[-1] for row in rows] == [
        "no: worse than student_t (0 of 1)",
        "no: better than categorical (0 of 1)",
    ]


def test_a_study_without_figures_of_the_paper_has_no_such_columns():
    heading, *_ = cells(tables.table_markdown(about("figure4"), BETA_RESULTS, []))
    assert heading == ["row", "seeds", "beta", "-log p < (nats)", "rate (nats)", heading[-1]]
    assert heading[-1] == "squared error (data²)"
    assert "paper's figures" not in tables.table_markdown(about("figure4"), BETA_RESULTS, [])


def test_sections_stand_at_the_end():
    text = tables.table_markdown(about(), BETA_RESULTS, [], [["## One", "", "a"], [], ["## Two"]])
    assert text.endswith("\n\n## One\n\na\n\n## Two\n")


def test_the_csv_has_measures_and_orderings():
    lines = list(csv.DictReader(io.StringIO(tables.table_csv(about(), MEASURED))))
    first = lines[0]
    assert (float(first["frechet"]), float(first["kid"])) == (401.0, 0.5)
    assert first["frechet_label"] == "frechet distance (saved_file 01234567)"
    ends = [float(first[f"marginal_kl_{end}"]) for end in ("lower", "upper")]
    assert ends == [4.0, 6.0]
    assert [line["paper_fid"] for line in lines] == ["44.54", "27.93", "22.25"]
    assert [line["nll_ordering_holds"] for line in lines] == ["yes (2 of 2)"] * 3
    assert lines[2]["fid_ordering_holds"] == "no: worse than beta=0.01 (1 of 2)"


@pytest.mark.parametrize(("seeds", "text"), [([4], "seed 4"), ([2, 0], "seeds 0, 2")])
def test_seeds_are_listed(seeds, text):
    assert tables.seeds_of([_fakes.result("beta=1", seed) for seed in seeds]) == text


def test_information_of_a_top_level_is_said_to_be_of_it_alone():
    def written(latent):
        record = {"information": _fakes.information(2.0, 1.0, 1.5, latent=latent)}
        runs = [_fakes.result("gaussian_optimal", measured=record, elbo=-1.0)]
        return tables.table_markdown(about(), runs, [])

    assert f"- {tables.TOP_NOTE}" in written("top")
    assert tables.TOP_NOTE not in written("whole")
