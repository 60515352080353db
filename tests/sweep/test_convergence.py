import json

import numpy as np
import pytest

from tests.sweep import _fakes
from tf_sigma_vae.sweep import convergence, tables
from tf_sigma_vae.sweep.results import Curve

EXACT = 1e-12
"""Rounding of float64, through a logarithm."""


def curve(scales, every=10, nll=100.0):
    steps = tuple(every * (k + 1) for k in range(len(scales)))
    return Curve(steps, tuple(np.log(scales)), tuple(nll - step for step in steps))


def run(name, seed, scales):
    found = _fakes.result(name, seed, elbo=-1.0)
    return found._replace(curve=curve(scales, nll=100.0 + seed))


def about(num_steps=40):
    config = _fakes.config(num_train_steps=num_steps, log_every_steps=10)
    return tables.About("figure9", config, num_steps, "test", 7)


RUNS = [
    run("gaussian_shared", 0, [1.0, 0.8, 0.6, 0.5]),
    run("gaussian_shared", 1, [1.0, 0.8, 0.51, 0.5]),
    run("gaussian_optimal", 0, [0.51, 0.5, 0.49, 0.5]),
]


def test_the_scale_has_arrived_when_it_stays():
    assert convergence.arrival(curve([1.0, 0.52, 0.7, 0.51, 0.5]), 0.5) == 40
    assert convergence.arrival(curve([0.51, 0.5]), 0.5) == 10
    assert convergence.arrival(curve([1.0, 0.9, 0.5]), 0.5) == 30
    assert convergence.arrival(curve([0.5, 0.6]), 0.5) is None


def test_the_bound_is_that_of_the_first_line_at_or_after_a_step():
    found = curve([1.0, 0.5, 0.5])
    assert [convergence.nll_at(found, step) for step in (1, 10, 11, 30, 31)] == [
        90.0,
        90.0,
        80.0,
        70.0,
        70.0,
    ]


def test_training_lines_are_read(tmp_path):
    lines = [
        {"step": 2, "split": "train", "log_scale": -0.5, "elbo": -7.0, "rate": 1.0},
        {"step": 4, "split": "train", "log_scale": -1.5, "elbo": -6.0, "rate": 1.0},
        {"step": 4, "split": "validation", "log_scale": -9.0, "elbo": -9.0},
    ]
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert convergence.read(str(path)) == ((2, 4), (-0.5, -1.5), (7.0, 6.0))


@pytest.mark.parametrize("text", [None, "", '{"step": 2, "split": "train", "elbo": 1.0}\n', "{"])
def test_what_has_no_scale_has_no_curve(tmp_path, text):
    path = tmp_path / "metrics.jsonl"
    if text is not None:
        path.write_text(text)
    assert convergence.read(str(path)) is None


def test_the_table_says_when_each_row_arrived():
    lines = convergence.text(about(), RUNS)
    heading, _, shared, optimal = [line for line in lines if line.startswith("|")]
    assert "| final scale | steps to within 5% of it | to within 5% of 0.5, that of gau" in heading
    # The second seed is within 5 % at step 30, the first at step 40.
    assert shared.startswith("| gaussian_shared | 2 | 0.5 | 35.0 ± 5.0 | 35.0 ± 5.0 | 90.50 ± 0.50")
    assert optimal.startswith("| gaussian_optimal | 1 | 0.5 | 10 | 10 | 90 | 90 | 80 | 60 |")
    assert "here every 10 steps" in lines[-1]


def test_a_scale_that_has_hardly_moved_has_not_arrived():
    slow = [run("gaussian_shared", seed, [1.0, 0.99]) for seed in (0, 1)]
    _, _, shared, _ = [
        line for line in convergence.text(about(), [*slow, RUNS[-1]]) if line.startswith("|")
    ]
    assert "| 0.99 | still moving | not reached by 2 of 2 seeds |" in shared


@pytest.mark.parametrize(
    ("scales", "moving"),
    [
        ([1.0, 0.5, 0.2, 0.1, 0.1], False),
        ([1.0, 0.99, 0.98, 0.97], True),
        ([1.0, 0.5, 0.25, 0.125], True),
        ([0.5, 0.5], False),
        ([0.5], False),
    ],
)
def test_a_scale_has_arrived_when_its_change_is_behind_it(scales, moving):
    assert convergence.is_moving(run("gaussian_shared", 0, scales).curve) is moving


def test_the_order_of_the_papers_figure_is_tested_over_seeds():
    slow = [run("gaussian_shared", seed, [1.0, 0.9, 0.8, 0.7 + seed / 100]) for seed in (0, 1)]
    fast = [run("gaussian_optimal", seed, [0.5, 0.5, 0.5, 0.5]) for seed in (0, 1)]

    def answer(runs):
        (line,) = (line for line in convergence.text(about(), runs) if "Fig. 9" in line)
        return line

    assert "ordering holds? yes (1 of 1)." in answer([*slow, *fast])
    assert "ordering holds? 1 seed." in answer([slow[0], fast[0]])
    late = [run("gaussian_optimal", seed, [1.0, 0.9, 0.8, 0.5]) for seed in (0, 1)]
    early = [run("gaussian_shared", seed, [0.5, 0.5, 0.5, 0.5]) for seed in (0, 1)]
    assert "ordering holds? no: worse than" in answer([*early, *late])


def test_a_line_that_was_cut_off_leaves_the_others(tmp_path):
    line = {"step": 2, "split": "train", "log_scale": -0.5, "elbo": -7.0}
    path = tmp_path / "metrics.jsonl"
    path.write_text(json.dumps(line) + '\n{"split": "tr')
    assert convergence.read(str(path)) == ((2,), (-0.5,), (7.0,))


def test_without_gaussian_optimal_each_row_has_its_own_end_only():
    heading = convergence.text(about(), RUNS[:2])[2]
    assert "gaussian_optimal" not in heading


def test_without_curves_there_is_no_table():
    assert convergence.text(about(), [_fakes.result("gaussian_shared", elbo=-1.0)]) == []


def test_the_picture_shows_the_variance_as_mean_and_range_over_seeds():
    figure = convergence.figure(about(), RUNS)
    whole, beginning = figure.axes
    assert (whole.get_yscale(), whole.get_xscale(), beginning.get_xscale()) == (
        "log",
        "linear",
        "log",
    )
    assert "variance" in whole.get_ylabel()
    for axes in (whole, beginning):
        shared, optimal = axes.lines
        assert shared.get_label() == "gaussian_shared"
        assert list(shared.get_xdata()) == [10, 20, 30, 40]
        means = [1.0, 0.64, (0.6**2 + 0.51**2) / 2, 0.25]
        assert shared.get_ydata() == pytest.approx(means, rel=EXACT)
        assert optimal.get_label() == "gaussian_optimal"
        (band, _) = axes.collections
        ends = band.get_paths()[0].vertices
        at_30 = sorted(y for x, y in ends if x == 30)
        assert at_30 == pytest.approx([0.51**2, 0.6**2], rel=EXACT)


def test_one_line_of_a_log_is_a_mark():
    (axes, _) = convergence.figure(about(), [run("gaussian_optimal", 0, [0.5])]).axes
    assert axes.lines[0].get_marker() == "o"
