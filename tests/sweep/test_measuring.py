import types

import numpy as np
import pytest

from tests.sweep import _fakes
from tf_sigma_vae.evaluation import fid, measures
from tf_sigma_vae.evaluation.measures import Options
from tf_sigma_vae.sweep import Protocol
from tf_sigma_vae.sweep.measuring import Measuring, require_comparable

IMAGES = np.zeros((34, 4, 6, 1), np.uint8)
BOTH = ("information", "distances")


class Extractor:
    """Notes what it is given."""

    extraction = "an extraction"

    def __init__(self):
        self.shapes = []

    def __call__(self, images):
        self.shapes.append(images.shape)


@pytest.fixture
def trainings(monkeypatch):
    return _fakes.Trainings(monkeypatch)


def measured_sweep(path, names=BOTH, distance_samples=20, **given):
    config = given.pop("config", None) or _fakes.config(
        dataset_options={"num_train": 20, "num_test": 35, "image_size": [4, 6]}
    )
    options = Options(distance_samples=distance_samples)
    asked = Measuring(names, options, extractor=given.pop("extractor", Extractor()))
    return _fakes.sweep(path, config=config, measuring=asked, **given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"names": ("fid",)}, "unknown measure 'fid'; known: information, distances \\(the eval"),
        ({"names": ("evaluation",)}, "unknown measure 'evaluation'"),
        ({"options": Options(distance_samples=1)}, "distance_samples must be at least 2, got 1"),
        ({"options": Options(draw="noise")}, "draw must be 'mean' or 'noisy', got 'noise'"),
    ],
)
def test_what_makes_no_sense_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        Measuring(**given)


def test_numbers_are_cut_to_the_split():
    found = Measuring(("information",), Options()).checked_on("train", IMAGES, 3)
    assert (found.options.split, found.options.information_examples) == ("train", 34)
    assert found.options.distance_samples == 34


def test_the_extractor_is_made_once_and_tried_on_an_image():
    made = []

    def load():
        made.append(Extractor())
        return made[0]

    found = Measuring(BOTH, Options(), load).checked_on("test", IMAGES, 3)
    assert found.checked_on("test", IMAGES, 3).extractor is found.extractor is made[0]
    assert len(made) == 1
    assert made[0].shapes == [(1, 4, 6, 1)] * 2
    # What needs none makes none.
    assert (
        Measuring(("information",), Options(), load).checked_on("test", IMAGES, 3).extractor is None
    )
    assert len(made) == 1


def test_too_few_samples_are_refused_before_the_extractor_is_made():
    load = pytest.fail
    with pytest.raises(ValueError, match="at least 20 samples and images, not 19"):
        Measuring(("distances",), Options(), load).checked_on("test", IMAGES[:19], 3)


def test_too_few_images_for_the_information_are_refused():
    with pytest.raises(ValueError, match="information in 3 latent dimensions needs at least 32"):
        Measuring(("information",)).checked_on("test", IMAGES[:31], 3)


def test_a_latent_whose_information_cannot_be_measured_is_refused_before_any_training(
    trainings, tmp_path
):
    options = {"channels": 4, "latents": [(4, 1), (1, 1)], "latent_channels": 2, "num_blocks": 1}
    config = _fakes.config(
        dataset_options={"num_train": 20, "num_test": 35, "image_size": [4, 6]},
        model="hierarchical_vae",
        network="ladder32",
        network_options=options,
    )
    message = "information in the latent cannot be measured: .* stochastic_bottom_up=False"
    with pytest.raises(measures.NotMeasurableError, match=message):
        measured_sweep(tmp_path, config=config)
    assert "to do" in measured_sweep(tmp_path, ("distances",), config=config).plan()
    assert trainings.trained == []


def test_the_extraction_of_the_extractor_is_what_stored_distances_must_have(monkeypatch):
    asked = []
    monkeypatch.setattr(
        "tf_sigma_vae.sweep.measuring.FinishedRun", lambda path: types.SimpleNamespace(path=path)
    )
    monkeypatch.setattr(
        measures, "stored", lambda run, name, options, extraction: asked.append(extraction)
    )
    assert Measuring(("distances",), extractor=Extractor()).missing("run") == ["distances"]
    assert Measuring(("distances",)).missing("run") == ["distances"]
    assert asked == ["an extraction", None]


def test_distances_by_different_protocols_are_not_put_into_one_table():
    require_comparable([])
    require_comparable([_fakes.distances(1.0, seed=0), _fakes.distances(2.0, seed=1)])
    for other in (_fakes.distances(2.0, content_hash="other"), _fakes.distances(2.0, num_images=9)):
        with pytest.raises(fid.ProtocolMismatchError, match="cannot be compared"):
            require_comparable([_fakes.distances(1.0), other])


def test_every_run_is_measured_after_its_evaluation(trainings, tmp_path):
    sweep = measured_sweep(tmp_path)
    sweep.run()
    rows = ("beta=0.1-seed0", "beta=1-seed0", "gaussian_optimal-seed0")
    assert trainings.measured == [(row, name) for row in rows for name in BOTH]
    table = (tmp_path / "table.md").read_text()
    assert "| frechet distance (saved_file 01234567) |" in table
    assert "| 1 to 2 |" in table
    names = {"results.csv", "table.csv", "table.md", "rate_distortion.png", "information.png"}
    assert {path.name for path in tmp_path.iterdir()} == {*names, "runs"}
    assert {path.rsplit("/", 1)[-1] for path in sweep.written} == names


def test_what_is_measured_is_not_measured_again(trainings, tmp_path):
    measured_sweep(tmp_path, names=("information",)).run()
    trainings.trained.clear(), trainings.evaluated.clear(), trainings.measured.clear()
    again = measured_sweep(tmp_path)
    states = [line.split("  ")[-2].strip() for line in again.plan().splitlines()[1:4]]
    assert states == ["to be measured: distances"] * 3
    again.run()
    assert trainings.trained == trainings.evaluated == []
    assert {name for _, name in trainings.measured} == {"distances"}
    assert measured_sweep(tmp_path).plan().count("  done") == 3


def test_runs_measured_otherwise_are_not_in_the_table(trainings, tmp_path):
    measured_sweep(tmp_path).run()
    added = measured_sweep(tmp_path, seeds=[1], variants=[], betas=[0.1], distance_samples=21)
    added.run()
    table = (tmp_path / "table.md").read_text()
    assert "- Not in the table: beta=1 seed 0: not measured so yet: distances" in table
    assert "| beta-VAE, beta=0.1 | 1 |" in table


def test_without_an_extractor_distances_are_planned_and_not_made(trainings, tmp_path):
    sweep = measured_sweep(tmp_path, extractor=None)
    assert "to do" in sweep.plan()
    with pytest.raises(ValueError, match="distances need an extractor"):
        sweep.run()
    assert trainings.trained == []


def test_distances_are_to_the_same_images_for_every_seed(tmp_path):
    validation = {"protocol": Protocol(split="validation"), "seeds": [0, 1]}
    with pytest.raises(ValueError, match="--split=validation holds other images for each seed"):
        measured_sweep(tmp_path, **validation)


@pytest.mark.parametrize("most", [5, 40])
def test_a_budget_of_images_is_cut_to_the_split(trainings, tmp_path, most):
    sweep = _fakes.sweep(tmp_path, most_examples=most)
    assert sweep.about.num_examples == min(most, _fakes.NUM_TEST)
    explicit = _fakes.sweep(tmp_path, most_examples=most, protocol=Protocol(num_examples=6))
    assert explicit.about.num_examples == 6


def test_the_study_of_convergence_draws_its_curves(trainings, tmp_path):
    sweep = _fakes.sweep(tmp_path, "figure9", betas=None, variants=["gaussian_optimal"])
    run = sweep.runs[0]
    sweep.run()
    line = '{"step": 2, "split": "train", "log_scale": -0.5, "elbo": -7.0}\n'
    with open(run.workdir.metrics_file, "w", encoding="utf-8") as file:
        file.write(line)
    sweep.write_report()
    assert "## Convergence of the scale" in (tmp_path / "table.md").read_text()
    names = {"results.csv", "table.csv", "table.md", "convergence.png", "runs"}
    assert {path.name for path in tmp_path.iterdir()} == names
