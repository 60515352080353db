"""Which runs a page is made of, and what is gathered of them: no model is trained or measured."""

import types

import numpy as np
import pytest

from tests._models import set_weights, tiny_vae
from tests.report import _records
from tf_sigma_vae import report
from tf_sigma_vae.config import Config
from tf_sigma_vae.evaluation import measures
from tf_sigma_vae.report import pictures, sources
from tf_sigma_vae.workdir import Workdir

SHAPE = (4, 6, 3)


def finished(path, **fields):
    """A folder that looks like that of a finished run."""
    workdir = Workdir(path)
    workdir.prepare(Config(**fields), data_dir=None)
    (path / "model.keras").write_bytes(b"weights")
    return str(path)


def paths_of(chosen):
    return [run.workdir.path for run in chosen.runs]


def test_the_runs_are_those_that_were_named_in_their_order(tmp_path):
    paths = [finished(tmp_path / name) for name in "cab"]
    chosen = report.choose(paths[0], paths[1:])
    assert paths_of(chosen) == paths
    assert (chosen.sweep_folder, chosen.notices) == (None, [])


def test_a_run_given_twice_is_refused(tmp_path):
    path = finished(tmp_path / "a")
    with pytest.raises(ValueError, match="given twice"):
        report.choose(path, [f"{path}/"])


def test_a_run_that_is_missing_or_not_finished_is_named(tmp_path):
    path = finished(tmp_path / "a")
    with pytest.raises(FileNotFoundError, match="there is no workdir '.*absent'"):
        report.choose(path, [str(tmp_path / "absent")])
    Workdir(tmp_path / "begun").prepare(Config(), None)
    with pytest.raises(FileNotFoundError, match="begun' is not finished"):
        report.choose(path, [str(tmp_path / "begun")])


def test_runs_of_two_datasets_are_refused(tmp_path):
    first, second = finished(tmp_path / "a"), finished(tmp_path / "b", dataset="mnist")
    with pytest.raises(ValueError, match="dataset mnist, .* of digits: .* cannot be compared"):
        report.choose(first, [second])


def test_too_many_runs_are_refused(tmp_path):
    paths = [finished(tmp_path / str(index)) for index in range(report.content.MAX_RUNS + 1)]
    with pytest.raises(ValueError, match="at most 18 runs, got 19"):
        report.choose(paths[0], paths[1:])


def test_of_a_sweep_each_row_is_shown_once_the_grid_first(tmp_path):
    runs = tmp_path / "sweep" / "runs"
    for name in ("shared-seed1", "beta=10-seed0", "beta=0.1-seed3", "beta=0.1-seed0"):
        finished(runs / name)
    Workdir(runs / "shared-seed0").prepare(Config(), None)
    Workdir(runs / "optimal-seed0").prepare(Config(), None)
    chosen = report.choose(str(tmp_path / "sweep"))
    names = ["beta=0.1-seed0", "beta=10-seed0", "shared-seed1"]
    assert paths_of(chosen) == [str(runs / name) for name in names]
    assert chosen.sweep_folder == str(tmp_path / "sweep")
    assert "smallest seed" in chosen.notices[0]
    assert chosen.notices[1] == "Not finished, and left out: optimal."


def test_a_sweep_without_a_finished_run_is_refused(tmp_path):
    Workdir(tmp_path / "runs" / "a-seed0").prepare(Config(), None)
    with pytest.raises(FileNotFoundError, match="has no finished run"):
        report.choose(str(tmp_path))


def test_a_sweep_to_compare_with_is_refused_and_a_run_of_it_named(tmp_path):
    first, run = finished(tmp_path / "a"), finished(tmp_path / "sweep" / "runs" / "b-seed0")
    with pytest.raises(ValueError, match=f"compare with a run of it, such as '{run}'"):
        report.choose(first, [str(tmp_path / "sweep")])


@pytest.fixture
def fake(monkeypatch, tmp_path):
    """Runs whose images, model and measures are made up; what is asked for is recorded."""
    model = set_weights(tiny_vae("gaussian_fixed", SHAPE))
    levels = np.random.default_rng(0).integers(0, 256, (30, *SHAPE), dtype=np.uint8)
    calls = []
    errors = {"any": measures.NotMeasurableError("the posterior must be Gaussian")}

    class FakeRun(sources.FinishedRun):
        own_images = levels

        def images(self, split="test", num_examples=0, data_dir=None, download=False):
            return self.own_images[: 12 if split == "test" else None]

        def model(self, strategy=None):
            return model

    def obtain(run, name, options, extractor=None, progress=None, **data):
        calls.append((run.workdir.path, name, options))
        progress(7)
        if name == "information":
            raise errors.get(run.workdir.path[-7:], errors["any"])
        return getattr(_records, name)()

    monkeypatch.setattr(sources, "FinishedRun", FakeRun)
    monkeypatch.setattr(measures, "obtain", obtain)
    paths = [finished(tmp_path / f"{name}-seed0") for name in ("a", "b")]
    return report.choose(paths[0], paths[1:]), calls, errors


def test_measures_are_obtained_and_what_cannot_be_measured_has_its_reason(fake):
    chosen, calls, _ = fake
    steps = []

    def step(title, total):
        steps.append([title, total, 0])
        return lambda count: steps[-1].__setitem__(2, steps[-1][2] + count)

    found = report.gather(chosen, report.Asked(), step)
    assert [run.name for run in found.runs] == ["a", "b"]
    for run in found.runs:
        assert list(run.measures) == ["evaluation", "calibration"]
        assert run.absent == {"information": "the posterior must be Gaussian"}
        assert run.failed == ()
        assert run.pictures["prior_mean"].shape == (6 * 5 - 1, 6 * 7 - 1, 3)
        assert run.pictures["reconstructions"].shape == (3 * 5 - 1, 8 * 7 - 1, 3)
    assert found.num_train == 30
    assert len(calls) == 6 and all(call[2].num_examples == 12 for call in calls)
    assert steps[0] == ["a: evaluation", 12, 7]


def test_a_figure_that_is_not_finite_fails_and_the_rest_goes_on(fake):
    chosen, _, errors = fake
    errors["b-seed0"] = FloatingPointError("rate is not finite")
    first, second = report.gather(chosen, report.Asked()).runs
    assert (first.failed, second.failed) == ((), ("information",))
    assert second.absent == {"information": "rate is not finite"}
    assert list(second.measures) == ["evaluation", "calibration"]


def test_an_error_that_is_not_of_the_model_stops_the_report(fake):
    chosen, calls, errors = fake
    errors["any"] = ValueError("in user code: shapes do not match")
    with pytest.raises(ValueError, match="in user code"):
        report.gather(chosen, report.Asked())
    assert [name for _, name, _ in calls] == ["evaluation", "information"]


def test_pictures_that_are_not_finite_are_told_without_a_warning(fake, monkeypatch):
    chosen, *_ = fake
    nan = np.full((2, *SHAPE), np.nan, np.float32)
    monkeypatch.setattr(
        pictures.image_grid, "prior_images", lambda *_: pictures.image_grid.to_uint8(nan)
    )
    run, _ = report.gather(chosen, report.Asked(["calibration"])).runs
    assert run.pictures == {}
    assert run.failed == ("pictures",)
    assert run.absent["pictures"] == pictures.NOT_FINITE


def test_what_was_not_asked_for_is_not_measured(fake):
    chosen, calls, _ = fake
    found = report.gather(chosen, report.Asked(measure_names=["calibration"]))
    assert {call[1] for call in calls} == {"calibration"}
    assert found.runs[0].absent["evaluation"] == sources.NOT_ASKED


def test_distances_are_measured_if_there_is_an_extractor(fake):
    chosen, *_ = fake
    network = types.SimpleNamespace(extraction=None)
    found = report.gather(chosen, report.Asked(["distances"], extractor=network))
    assert list(found.runs[1].measures) == ["distances"]


def test_more_images_than_the_split_has_are_refused_before_any_work(fake):
    chosen, calls, _ = fake
    options = measures.Options(num_examples=13)
    with pytest.raises(ValueError, match="num_examples is 13, but the test split has 12"):
        report.gather(chosen, report.Asked(options=options))
    assert calls == []


def test_runs_measured_on_other_images_are_told(fake):
    chosen, *_ = fake
    chosen.runs[1].own_images = chosen.runs[1].own_images[::-1]
    (notice,) = report.gather(chosen, report.Asked(["calibration"])).notices
    assert notice.startswith("b: the test images are not those of a.")


def test_images_of_another_shape_are_refused(fake):
    chosen, *_ = fake
    chosen.runs[1].own_images = chosen.runs[1].own_images[:, :3]
    with pytest.raises(ValueError, match=r"b is of images of shape \(3, 6, 3\), a of \(4, 6, 3\)"):
        report.gather(chosen, report.Asked(["calibration"]))


def test_images_that_no_screen_can_show_give_no_pictures():
    images = np.zeros((5, 4, 6, 2), np.uint8)
    assert pictures.draw(None, images, seed=0) == {}
