"""A finished run of videos, published by the command, and served."""

import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from tests._models import TINY_OPTIONS
from tests._videos import CONTEXT, FRAME, tiny_svg, videos
from tests.cli._in_process import Command
from tests.export import _audit
from tf_sigma_vae import build, models
from tf_sigma_vae.cli import export
from tf_sigma_vae.config import Config
from tf_sigma_vae.evaluation.runs import FinishedRun
from tf_sigma_vae.export import check, model_card, warmup
from tf_sigma_vae.export.client import Client
from tf_sigma_vae.workdir import Workdir

NUM_VIDEOS, LENGTH, CLIP, NUM_FRAMES = 6, 7, 5, 4
SEEDS = np.array([[0, 1], [5, -2]], np.int32)
ROUNDING = 1e-5
"""Relative: another process, or a batch of another size, may sum in another order."""


def clips(length=CLIP, num_clips=2):
    return videos(num_clips, length, seed=3).astype(np.float32) / np.float32(255)


def prepared(path, likelihood="gaussian_optimal", **options):
    """A workdir with the configuration of a run of videos; the configuration."""
    np.savez(path / "videos.npz", train=videos(4, LENGTH), test=videos(NUM_VIDEOS, LENGTH, seed=1))
    config = Config(
        dataset="video_npz",
        dataset_options={"path": str(path / "videos.npz")},
        validation_fraction=0.0,
        train_frames=4,
        eval_frames=CLIP,
        model="sequence_vae",
        model_options={"context_frames": CONTEXT, "feature_size": 6, "lstm_units": 5},
        network="dcgan64",
        network_options=TINY_OPTIONS["dcgan64"],
        latent_size=3,
        likelihood=likelihood,
        **options,
    )
    workdir = Workdir(path / "run")
    workdir.prepare(config, data_dir=None)
    return workdir, config


def write_run(path, likelihood="gaussian_optimal", **options):
    """A workdir with the configuration and the calibrated model of a run of videos."""
    workdir, config = prepared(path, likelihood, **options)
    model = build.model(config, FRAME)
    model.calibrate(clips(4, 4))
    model.save(workdir.model_file)
    return workdir.path


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("run"))


@pytest.fixture
def command(monkeypatch, capsys):
    return Command(monkeypatch, capsys, export)


@pytest.fixture(scope="module")
def published(run, tmp_path_factory, model_name):
    """The base folder of a version."""
    base = tmp_path_factory.mktemp("served") / model_name
    export.release.release(run, str(base), num_frames=NUM_FRAMES)
    return base


@pytest.fixture(scope="module")
def loaded(published):
    return tf.saved_model.load(str(published / "1")).signatures


@pytest.mark.slow
def test_the_reloaded_model_answers_as_the_trained_one(loaded, run):
    model = models.load(run)
    for length in (CLIP, CONTEXT + 1):
        x = clips(length)
        output = model(x)
        found = loaded["anomaly"](clips=tf.constant(x))
        np.testing.assert_allclose(found["score"], output.distortion + output.rate, rtol=ROUNDING)
        assert found["score_per_frame"].shape == (2, length - CONTEXT)
    found = loaded["predict"](**_given("predict", 2))
    assert found["mean"].shape == found["frames"].shape == (2, NUM_FRAMES, *FRAME)
    scale = model.frame_distribution(tf.zeros([1, *FRAME])).stddev().numpy()[0, 0, 0, 0]
    np.testing.assert_allclose(found["scale"], np.full((2, NUM_FRAMES), scale), rtol=ROUNDING)


def _given(name, num_rows=4):
    """Tensors that a signature takes."""
    what = {"predict": "context"}.get(name, "clips")
    given = {what: tf.constant(clips(CONTEXT if what == "context" else CLIP, num_rows))}
    if name in ("predict", "elbo"):
        given["seed"] = tf.constant(np.arange(2 * num_rows, dtype=np.int32).reshape(-1, 2))
    return given


@pytest.mark.slow
@pytest.mark.parametrize("name", ["predict", "encode", "elbo", "anomaly"])
def test_rows_do_not_influence_one_another(loaded, name):
    given = _given(name)
    (what,) = set(given) - {"seed"}
    expected = loaded[name](**given)
    alone = loaded[name](**{key: value[1:2] for key, value in given.items()})
    empty = loaded[name](**{key: value[:0] for key, value in given.items()})
    spoiled = given[what].numpy()
    spoiled[0, 0, 0, 0, 0], spoiled[2, -1, 3, 5, 2] = np.nan, 1.25
    found = loaded[name](**{**given, what: tf.constant(spoiled)})
    for output, value in expected.items():
        value = value.numpy()
        assert np.all(np.isfinite(value)) and empty[output].shape == (0, *value.shape[1:])
        np.testing.assert_allclose(alone[output][0], value[1], rtol=ROUNDING, atol=ROUNDING)
        assert np.all(np.isnan(found[output].numpy()[::2])), output
        np.testing.assert_array_equal(found[output].numpy()[1::2], value[1::2])


@pytest.mark.slow
def test_frames_that_do_not_fit_are_refused(loaded):
    refused = pytest.raises(tf.errors.InvalidArgumentError, match="must have more than 2 frames")
    for name in ("encode", "elbo", "anomaly"):
        given = _given(name)
        with refused:
            loaded[name](**{**given, "clips": given["clips"][:, :CONTEXT]})
    x, seed = clips(), tf.constant(SEEDS)
    for wrong in (x[:, :1], x[:, :3], x[:, :CONTEXT, :8], x[:, :CONTEXT, ..., :1]):
        with pytest.raises((TypeError, tf.errors.InvalidArgumentError)):
            loaded["predict"](context=tf.constant(wrong), seed=seed)
    unequal = pytest.raises(tf.errors.InvalidArgumentError, match="context and seed must have as")
    with unequal:
        loaded["predict"](context=tf.constant(x[:, :CONTEXT]), seed=seed[:1])


@pytest.mark.slow
def test_p_values_compare_with_the_first_clip_of_each_video(loaded, run):
    """The clips themselves, scored again: their ranks are a permutation of 2 ... n + 1.

    Or one lower: in a batch of another size a score may be rounded to above its stored self.
    """
    source = FinishedRun(run).images("test")
    index = np.arange(NUM_VIDEOS)
    x = source.clips(index, 0 * index, CLIP).astype(np.float32) / np.float32(255)
    p_value = loaded["anomaly"](clips=tf.constant(x))["p_value"].numpy()
    lower = np.arange(2, NUM_VIDEOS + 2) / (NUM_VIDEOS + 1) - np.sort(p_value)
    assert np.all((lower > -1e-6) & (lower < 1 / (NUM_VIDEOS + 1) + 1e-6))


@pytest.mark.slow
def test_a_server_finds_nothing_that_it_would_refuse(published):
    assert _audit.problems(_audit.read(published / "1")) == set()
    assert (published / "1" / warmup.FILE).stat().st_size > 0
    assert "clips of one length" in (published / "batching.config").read_text()


@pytest.mark.slow
def test_the_card_says_how_the_model_is_called(published):
    card = json.loads((published / "1" / model_card.JSON_FILE).read_text())
    expected = {"context_frames": CONTEXT, "num_frames": NUM_FRAMES, "validation_frames": CLIP}
    assert card["video"] == expected
    assert card["signatures"]["predict"]["outputs"]["mean"]["shape"] == [None, NUM_FRAMES, *FRAME]
    assert card["anomaly"]["num_scores"] == NUM_VIDEOS
    assert card["scale"]["provenance"]["source"] == "calibrate" and card["scale"]["value"] > 0
    assert max(card["differences"].values()) <= check.TOLERANCE
    text = (published / "1" / model_card.TEXT_FILE).read_text()
    for said in (
        "of videos of 16x16x3 frames",
        "`predict` takes 2 and gives the 4 that follow them",
        "6 clips of 5 frames, the first of each video, of the test split",
        "| `encode` | `clips` float32 [B, T, 16, 16, 3] |",
        "`score_per_frame` float32 [B, T']",
        "client.rollout(context, seeds=[[0, 1]])  # context [B, 2, 16, 16, 3] in [0, 1]",
        'curl -d \'{"signature_name": "predict", "inputs": {"context": [...], "seed": [[0, 1]]}}\'',
    ):
        assert said in text, said


@pytest.mark.slow
def test_the_client_calls_it_on_both_routes(published, run_double, loaded, model_name):
    server = run_double(published)
    x = clips()
    expected = {
        "rollout": loaded["predict"](context=x[:, :CONTEXT], seed=SEEDS),
        "elbo": loaded["elbo"](clips=tf.constant(x), seed=tf.constant(SEEDS)),
        "anomaly": loaded["anomaly"](clips=tf.constant(x)),
        "encode": loaded["encode"](clips=tf.constant(x)),
    }
    for address in server.addresses.values():
        with Client(address, model_name, timeout=60, max_batch_size=1) as client:
            client.wait_until_ready()
            answered = {
                "rollout": client.rollout(x[:, :CONTEXT], SEEDS),
                "elbo": client.elbo(x, SEEDS),
                "anomaly": client.anomaly(x),
                "encode": client.encode(x),
            }
            for name, outputs in expected.items():
                assert set(answered[name]) == set(outputs)
                for key, value in outputs.items():
                    np.testing.assert_allclose(
                        answered[name][key], value, rtol=ROUNDING, atol=1e-5, err_msg=key
                    )
            assert client.encode(x[:0])["z_mean"].shape == (0, 0, 3)


def test_what_a_model_of_videos_cannot_is_said_before_any_work(tmp_path, command):
    workdir, _ = prepared(tmp_path)
    pathlib.Path(workdir.model_file).write_bytes(b"")
    base = tmp_path / "served"
    for argument, message in (
        ("--convert=tflite", "tflite: a model of videos ('sequence_vae') is not converted"),
        ("--num_frames=0", "num_frames must be at least 1, got 0"),
        ("--num_examples=99", "has 6 videos"),
    ):
        assert command(f"--workdir={workdir.path}", f"--export_dir={base}", argument) == 1
        assert message in command.error
    assert not base.exists()


def test_a_length_is_refused_for_a_model_of_images(tmp_path, command):
    workdir = Workdir(tmp_path / "run")
    workdir.prepare(Config(), data_dir=None)
    (tmp_path / "run" / "model.keras").write_bytes(b"")
    base = tmp_path / "served"
    assert command(f"--workdir={workdir.path}", f"--export_dir={base}", "--num_frames=5") == 1
    assert "num_frames is 5, but the model 'vae' is of images" in command.error


# A scale a channel, and a mass without one; the other tests export one scale, and one a pixel.
@pytest.mark.slow
@pytest.mark.parametrize("likelihood", ["gaussian_per_channel", "logistic_mixture"])
def test_every_kind_of_likelihood_is_served_as_python_answers(likelihood, tmp_path):
    made, x = tiny_svg(likelihood), clips()
    made.calibrate(x)
    functions = made.signatures([1.0, 2.0], NUM_FRAMES, validation_frames=CLIP)
    made.export(tmp_path / "saved", functions=functions)
    requests = check.requests(made, functions, x)
    found = check.differences(made, functions, str(tmp_path / "saved"), requests)
    compared = {(d.signature, d.output) for d in found}
    assert ("predict", "scale") in compared or not made.likelihood.has_scale
    assert ("predict", "frames") in compared and ("elbo", "bits_per_dim") in compared
    loaded = tf.saved_model.load(str(tmp_path / "saved")).signatures["predict"]
    given = {"context": tf.constant(x[:, :CONTEXT]), "seed": tf.constant(SEEDS)}
    outputs = loaded(**given)
    if made.likelihood.has_scale:
        assert outputs["scale"].shape[1:] == (NUM_FRAMES, 3)
    # Draws are of their own row: a request of one gives the same.
    alone = loaded(**{name: value[1:] for name, value in given.items()})
    for name, value in outputs.items():
        difference = np.mean(np.abs(alone[name][0] - value[1]))
        assert difference <= check.TOLERANCE * max(1.0, np.max(np.abs(value))), name


@pytest.mark.slow
def test_a_run_of_mixed_precision_is_served_in_float32(tmp_path):
    run = write_run(tmp_path, "gaussian_per_pixel", precision="mixed_bfloat16")
    found = export.release.release(run, str(tmp_path / "served"))
    card = json.loads((tmp_path / "served" / "1" / model_card.JSON_FILE).read_text())
    assert found.path.endswith("1") and max(card["differences"].values()) <= check.TOLERANCE
    assert card["precision"] == {"served": "float32", "trained": "mixed_bfloat16"}
    # As many frames as an evaluation predicts.
    assert card["video"]["num_frames"] == CLIP - CONTEXT
