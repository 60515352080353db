"""From a finished run to a published version, by the command."""

import dataclasses
import json
import os
import pathlib
import types

import numpy as np
import pytest
import tensorflow as tf

from tests import _models
from tests._representatives import REPRESENTATIVES
from tests.cli._finished_run import finished_run
from tests.cli._in_process import Command
from tf_sigma_vae import build, data, models
from tf_sigma_vae.cli import export
from tf_sigma_vae.content_hash import sha256
from tf_sigma_vae.evaluation import record
from tf_sigma_vae.evaluation.estimate import Estimate
from tf_sigma_vae.evaluation.evaluate import Evaluation
from tf_sigma_vae.evaluation.runs import FinishedRun
from tf_sigma_vae.export import _card_text, conformal, model_card, publish, release
from tf_sigma_vae.export.precision import in_float32


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return finished_run(tmp_path_factory.mktemp("runs") / "digits")


@pytest.fixture
def command(monkeypatch, capsys):
    return Command(monkeypatch, capsys, export)


@pytest.fixture(scope="module")
def published(run, tmp_path_factory):
    """A version with everything in it; the base folder."""
    metrics = {"elbo": Estimate(-12.5, 0.25, "nats"), "rate": Estimate(3.5, 0.125, "nats")}
    evaluation = Evaluation(metrics, {"num_examples": 20, "split": "test"})
    record.write(evaluation, FinishedRun(run).workdir.evaluation_file)
    base = tmp_path_factory.mktemp("served") / "tiny"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["sigma-vae-export"])
        found = export.release.release(run, str(base), num_examples=60)
    assert found.path == os.path.join(base, "1")
    return base


@pytest.fixture
def written(monkeypatch):
    """The models that a release would write, kept here instead: nothing is traced or compared."""
    kept = []

    def keep(model, folder, signatures, probes, name):
        kept.append(model)
        pathlib.Path(folder, "saved_model.pb").touch()
        return {"encode/z_mean": 0.0}

    monkeypatch.setattr(release, "_write_saved_model", keep)
    monkeypatch.setattr(model_card, "signature_table", lambda folder: {})
    return kept


def card_of(base, version=1):
    return json.loads((base / str(version) / model_card.JSON_FILE).read_text())


def test_a_version_holds_all_that_a_server_and_its_users_need(published):
    version = published / "1"
    assert {path.name for path in published.iterdir()} >= {"1", "models.config", "batching.config"}
    assert publish.versions(str(published)) == [1]
    expected = {"saved_model.pb", "variables", "assets.extra", "model_card.json", "MODEL_CARD.md"}
    assert expected <= {path.name for path in version.iterdir()}
    assert (version / "assets.extra" / "tf_serving_warmup_requests").stat().st_size > 0
    assert 'name: "tiny"' in (published / "models.config").read_text()


def test_the_served_elbo_is_that_of_the_trained_model(published, run):
    loaded = tf.saved_model.load(str(published / "1")).signatures["anomaly"]
    x = FinishedRun(run).images("test", 8).astype(np.float32) / np.float32(255)
    output = models.load(run)(x)
    negative_elbo = output.distortion + output.rate
    np.testing.assert_allclose(loaded(images=tf.constant(x))["score"], negative_elbo, rtol=1e-5)


def test_p_values_compare_with_the_held_out_scores(published, run):
    """The images themselves, scored again: their ranks are a permutation of 2 ... n + 1.

    Or one lower: in a batch of another size a score may be rounded to above its stored self.
    """
    loaded = tf.saved_model.load(str(published / "1")).signatures["anomaly"]
    x = FinishedRun(run).images("validation", 60).astype(np.float32) / np.float32(255)
    p_value = loaded(images=tf.constant(x))["p_value"].numpy()
    lower = np.arange(2, 62) / 61 - np.sort(p_value)
    assert np.all((lower > -1e-6) & (lower < 1 / 61 + 1e-6))


def test_the_card_says_what_the_model_is(published, run):
    card = card_of(published)
    assert card["variant"] == "gaussian_optimal" and card["data"]["dataset"] == "digits"
    variance = models.load(run).likelihood.variance.numpy()
    assert card["scale"]["per"] == "image"
    assert card["scale"]["value"] == pytest.approx(np.sqrt(variance + (1 / 510) ** 2), rel=1e-6)
    assert card["scale"]["provenance"] == {"source": "calibrate", "num_examples": 50, "step": 0}
    assert card["anomaly"]["split"] == "validation" and card["anomaly"]["num_scores"] == 60
    assert card["evaluation"]["protocol"] == {"num_examples": 20, "split": "test"}
    assert card["evaluation"]["metrics"]["rate"] == {
        "value": 3.5,
        "standard_error": 0.125,
        "unit": "nats",
    }
    assert card["signatures"]["decode"]["inputs"]["z"] == {"dtype": "float32", "shape": [None, 3]}
    assert card["signatures"]["decode"]["outputs"]["scale"]["shape"] == [None]
    keras_file = os.path.join(run, "model.keras")
    assert card["sha256"]["model.keras"] == sha256(keras_file)
    assert card["sha256"]["all files but the cards"] == sha256(
        published / "1", leave_out=(model_card.JSON_FILE, model_card.TEXT_FILE)
    )
    assert max(card["differences"].values()) <= 1e-6
    assert card["config"] == FinishedRun(run).config.to_dict()


def test_the_card_for_people_lists_every_signature_and_figure(published):
    card, text = card_of(published), (published / "1" / model_card.TEXT_FILE).read_text()
    for name in [*card["signatures"], *card["evaluation"]["metrics"], *card["versions"]]:
        assert name in text
    value = f"{card['scale']['value']:.6g}"
    assert f"{value}; source: calibrate (num_examples 50, step 0)" in text


@pytest.mark.parametrize("name", ("gaussian_per_channel", *REPRESENTATIVES))
def test_the_scale_of_each_kind_has_a_sentence(name):
    model = _models.tiny_vae(name, image_shape=(4, 6, 3))
    model.calibrate(_models.images(20, (4, 6, 3)))
    scale = model_card.scale(model)
    values = {None: 0, "image": 1, "channel": 3, "element": 0}[scale["per"]]
    assert np.size([] if scale["value"] is None else scale["value"]) == values
    assert f"source: {scale['provenance']['source']}" in _card_text.scale_sentence(scale)


def test_the_latent_is_described_as_what_z_holds():
    assert _card_text.latent_sentence(20, None) == "20 dimensions"
    found = _card_text.latent_sentence(1044, [[1, 1, 20], [8, 8, 16]])
    assert found.startswith("2 levels, 1x1x20, 8x8x16, of which `z` holds all 1,044 numbers")


def test_the_next_version_is_a_number_higher_and_old_ones_are_pruned(
    run, tmp_path, written, command, monkeypatch
):
    base, converted = tmp_path / "served", []

    def convert(model, folder, formats):
        converted.append((model, formats))
        return {"tflite/decode.tflite": 1e-5}

    monkeypatch.setattr(release.convert, "convert", convert)
    arguments = (f"--workdir={run}", f"--export_dir={base}", "--num_examples=8")
    assert command(*arguments, "--version=7", "--name=mine") == 0
    assert publish.versions(str(base)) == [7]
    assert command(*arguments, "--name=other") == 1
    assert "serves the model as 'mine'" in command.error
    (base / "batching.config").write_text("# mine")
    assert command(*arguments, "--keep=1", "--convert=tflite") == 0
    assert "removed: 7" in command.output
    assert f"wrote {base / '8'}" in command.output
    assert publish.versions(str(base)) == [8]
    assert card_of(base, 8)["name"] == "mine"
    assert converted == [(written[1], ("tflite",))]
    assert card_of(base, 8)["differences"] == {"encode/z_mean": 0.0, "tflite/decode.tflite": 1e-5}
    assert (
        f"left as it is, for it is not what would be written (edited, perhaps): {base}/batching"
        in (command.output)
    )
    assert (base / "batching.config").read_text() == "# mine"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--version=0",), "version"),
        (("--keep=0",), "keep must be at least 1, got 0"),
        (("--name=a b",), "'a b'"),
        (("--convert=tflit",), "'tflit'"),
        (("--num_examples=-1",), "num_examples must not be negative"),
        (("--num_examples=999999",), "num_examples is 999999, but the validation split"),
    ],
)
def test_what_cannot_be_done_is_said_before_any_work(run, tmp_path, command, arguments, message):
    base = tmp_path / "served"
    assert command(f"--workdir={run}", f"--export_dir={base}", *arguments) == 1
    assert message in command.error and command.error.startswith("sigma-vae-export: error:")
    assert not base.exists() or not publish.versions(str(base))


@pytest.mark.slow
def test_a_run_of_mixed_precision_is_released_in_float32(tmp_path, written):
    run = finished_run(tmp_path / "run", precision="mixed_bfloat16")
    release.release(run, str(tmp_path / "served"), num_examples=8)
    (model,) = written
    assert models.load(run).compute_dtype == "bfloat16"
    assert {layer.compute_dtype for layer in (model, *model.networks)} == {"float32"}
    card = card_of(tmp_path / "served")
    assert card["precision"] == {"served": "float32", "trained": "mixed_bfloat16"}


@pytest.mark.slow
def test_a_run_of_mixed_precision_is_served_in_float32(tmp_path):
    """In bfloat16 a graph and Python differ by 4e-3 of a latent, and so do two processors."""
    run = finished_run(tmp_path / "run", precision="mixed_bfloat16")
    found = export.release.release(run, str(tmp_path / "served"), num_examples=8)
    exact = in_float32(models.load(run))
    x = FinishedRun(run).images("test", 6).astype(np.float32) / np.float32(255)
    loaded = tf.saved_model.load(found.path).signatures["encode"](images=tf.constant(x))
    np.testing.assert_allclose(loaded["z_mean"], exact.encode(x).mean(), rtol=1e-5, atol=1e-6)
    card = card_of(tmp_path / "served")
    assert card["precision"] == {"served": "float32", "trained": "mixed_bfloat16"}
    assert max(card["differences"].values()) < 2e-6


def test_a_run_that_is_not_there_is_said(tmp_path, command):
    assert command(f"--workdir={tmp_path / 'no'}", f"--export_dir={tmp_path / 'served'}") == 1
    assert "there is no workdir" in command.error


def test_a_scale_that_was_never_calibrated_is_not_published(tmp_path, command):
    workdir = finished_run(tmp_path / "run")
    model = models.load(workdir)
    model.likelihood.calibration_examples.assign(0)
    model.likelihood.num_updates.assign(3)
    model.save(os.path.join(workdir, "model.keras"))
    assert command(f"--workdir={workdir}", f"--export_dir={tmp_path / 'served'}") == 1
    assert "was never calibrated" in command.error
    assert not (tmp_path / "served").exists()


def test_the_validation_split_is_taken_where_the_run_has_one(run):
    finished = FinishedRun(run)
    splits = build.load_splits(finished.config)
    for fraction in (0.1, 0.0):
        finished.config = dataclasses.replace(finished.config, validation_fraction=fraction)
        images, split = conformal.held_out_examples(finished, "auto", 0, None, False)
        assert split == ("validation" if fraction else "test")
        np.testing.assert_array_equal(images, getattr(splits, split))
    for chosen_by in ({"select": "best"}, {"early_stopping_patience": 2}):
        finished.config = dataclasses.replace(finished.config, validation_fraction=0.1, **chosen_by)
        assert conformal.held_out_examples(finished, "auto", 0, None, False)[1] == "test"
    finished.config = dataclasses.replace(
        finished.config, validation_fraction=0.0, select="last", early_stopping_patience=0
    )
    with pytest.raises(ValueError, match="has no validation split"):
        conformal.held_out_examples(finished, "validation", 0, None, False)


def test_scores_that_are_not_finite_are_an_error(run):
    model = models.load(run)
    weights = model.decoder.get_weights()
    weights[-1][:] = np.nan
    model.decoder.set_weights(weights)
    images = FinishedRun(run).images("test", 4)
    with pytest.raises(FloatingPointError, match="anomaly score is not finite"):
        conformal.scores(model, images)


def test_a_failure_leaves_the_versions_that_are_there(run, published, written, monkeypatch):
    before = {p: p.stat().st_mtime_ns for p in pathlib.Path(published).rglob("*") if p.is_file()}

    def fail(*_):
        raise OSError("no space left")

    monkeypatch.setattr(model_card, "write", fail)
    with pytest.raises(OSError, match="no space left"):
        release.release(run, str(published), num_examples=8)
    assert len(written) == 1
    after = {p: p.stat().st_mtime_ns for p in pathlib.Path(published).rglob("*") if p.is_file()}
    locks = {p for p in after if p.name == ".lock"}
    assert {p: t for p, t in after.items() if p not in locks} == {
        p: t for p, t in before.items() if p not in locks
    }


def test_rollouts_are_as_long_as_an_evaluation_predicts(monkeypatch):
    """Of videos shorter than eval_frames too."""
    videos = data.ArraySource(np.zeros([3, 7, 2, 2, 1], np.uint8))
    run = types.SimpleNamespace(
        of_videos=True,
        clip_length=lambda source: min(30, source.video_shape[0]),
        config=types.SimpleNamespace(eval_frames=30),
    )
    model = types.SimpleNamespace(context_frames=2)
    monkeypatch.setattr(release.conformal, "scores", lambda *given: np.zeros(3))
    options, _ = release._from_held_out(run, model, videos, None)
    assert (options["num_frames"], options["validation_frames"]) == (5, 7)
    options, _ = release._from_held_out(run, model, videos, 11)
    assert options["num_frames"] == 11
