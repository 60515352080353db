import io

import numpy as np
import pytest
from PIL import Image

from tests.evaluation._video_runs import a_record
from tf_sigma_vae.evaluation import rollout_plot


def labels(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_a_picture_is_a_png_of_its_size():
    image = Image.open(io.BytesIO(rollout_plot.curves({"a": a_record()})))
    assert (image.format, image.size) == ("PNG", (1600, 850))


def test_a_run_alone_shows_all_its_kinds():
    figure = rollout_plot.draw({"a": a_record()})
    psnr, rate, coverage, rest = figure.axes
    assert labels(psnr)[0] == "best of 4 rollouts"
    assert [len(axes.lines) for axes in (psnr, rate, coverage)] == [4, 1, 3]
    assert labels(coverage)[-1] == "calibrated"
    assert not rest.axison
    record = a_record()
    line = psnr.lines[labels(psnr).index("mean over rollouts")]
    np.testing.assert_array_equal(line.get_ydata(), record["curves"]["psnr"]["mean"]["value"])
    np.testing.assert_array_equal(line.get_xdata(), [1, 2, 3])


def test_several_runs_show_the_best_the_mean_and_one_copy():
    figure = rollout_plot.draw({"a": a_record(), "b": a_record(5, ("psnr",))})
    names = labels(figure.axes[0])
    assert sum(name.startswith("a: ") for name in names) == 2
    assert sum(name.startswith("b: ") for name in names) == 2
    assert names.count("last context frame copied") == 1
    assert len(names) == 5


def test_no_record_is_no_picture():
    with pytest.raises(ValueError, match="at least one run"):
        rollout_plot.curves({})
