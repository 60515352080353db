import pathlib

import pytest
from PIL import Image

from tests.sweep import _fakes
from tf_sigma_vae.sweep import plot, tables

FIGURES = {"rate": 3.0, "mse": 0.1, "elbo": -5.0}


def figure(*results):
    about = tables.About("beta", _fakes.config(), 1234, "test", 7)
    return plot.rate_distortion(about, list(results))


def grid(*betas, seeds=(0, 1)):
    return [
        _fakes.result(
            f"beta={beta}", k, rate=5.0 / beta + k, mse=beta / 5, elbo=-beta, beta_equivalent=beta
        )
        for beta in betas
        for k in seeds
    ]


@pytest.fixture(scope="module")
def beta_figure():
    optimal = _fakes.result("gaussian_optimal", beta_equivalent=0.3, **FIGURES)
    per_pixel = _fakes.result("gaussian_per_pixel", beta_equivalent=0.3, **FIGURES)
    return figure(*grid(0.5, 1, 2), optimal, per_pixel)


def test_the_curve_goes_through_the_means_of_the_grid(beta_figure):
    left, right = beta_figure.axes
    curve = left.containers[0].lines[0]
    assert curve.get_xdata() == pytest.approx([10.5, 5.5, 3.0])
    squared_errors = [beta / 5 * _fakes.NUM_DIMS for beta in (0.5, 1, 2)]
    assert curve.get_ydata() == pytest.approx(squared_errors)
    curve = right.containers[0].lines[0]
    assert curve.get_xdata() == pytest.approx([0.5, 1, 2])
    assert curve.get_ydata() == pytest.approx([0.5, 1, 2])


def test_every_row_with_the_figures_is_drawn_and_labelled(beta_figure):
    left, right = beta_figure.axes
    assert [container.get_label() for container in left.containers] == [
        "beta-VAEs of the grid",
        "gaussian_optimal (beta_equivalent 0.3)",
        "gaussian_per_pixel",
    ]
    # A scale for each pixel has no place on the axis of beta.
    assert len(right.containers) == 2
    assert [text.get_text() for text in left.texts] == ["β = 2", "β = 1", "β = 0.5"]
    assert [text.get_text() for text in right.texts] == ["β = 0.5", "β = 1", "β = 2"]


def test_axes_and_title_say_what_is_shown(beta_figure):
    left, right = beta_figure.axes
    assert (left.get_yscale(), right.get_xscale()) == ("log", "log")
    title = beta_figure.get_suptitle()
    assert title == "synthetic: 2 epochs (1,234 steps of 8), seeds 0, 1"


def test_points_that_lie_together_share_a_label():
    collapsed = [
        _fakes.result(f"beta={beta}", rate=0.0, mse=1.0 + beta / 1e6, elbo=-beta) for beta in (1, 2)
    ]
    far = _fakes.result("beta=0.1", rate=9.0, mse=0.1, elbo=-1.0)
    texts = [text.get_text() for text in figure(far, *collapsed).axes[0].texts]
    assert len(texts) == 2
    assert sorted(texts[0].removeprefix("β = ").split(", ")) == ["1", "2"]
    assert texts[1] == "β = 0.1"


def test_one_seed_has_no_error_bars(beta_figure):
    left = figure(*grid(1, 2, seeds=[0])).axes[0]
    assert not left.containers[0].has_yerr
    assert beta_figure.axes[0].containers[0].has_yerr


def test_rows_without_the_figures_are_left_out():
    left, right = figure(_fakes.result("bernoulli", measure=None, elbo=-4.0)).axes
    assert (left.containers, right.containers) == ([], [])


def test_the_file_is_a_png_of_the_announced_size(tmp_path, beta_figure):
    path = tmp_path / "rate_distortion.png"
    plot.save(beta_figure, str(path))
    with Image.open(path) as picture:
        assert (picture.format, picture.size) == ("PNG", (1600, 700))
    assert list(tmp_path.iterdir()) == [path]


def test_a_picture_that_cannot_be_written_leaves_the_old_one(tmp_path, beta_figure, monkeypatch):
    path = pathlib.Path(tmp_path / "rate_distortion.png")
    path.write_bytes(b"old")

    def fail(*arguments, **given):
        raise OSError("no space left")

    monkeypatch.setattr(beta_figure, "savefig", fail)
    with pytest.raises(OSError, match="no space left"):
        plot.save(beta_figure, str(path))
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [b"old"]
