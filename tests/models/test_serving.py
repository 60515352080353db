"""The signatures of an exported model; what a process without Keras answers is in tests/export."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests._eagerly import eagerly
from tests._models import images, set_weights, tiny_vae
from tf_sigma_vae import distributions, models
from tf_sigma_vae.likelihoods import NotCalibratedError

SHAPE = (4, 6, 3)
ROUNDING = 1e-5
"""Relative: a graph may sum in another order than eager operations."""
NUM_STANDARD_ERRORS = 6.5
"""Of a normal mean: further off once in ten billion runs; of the shares of p-values, whose
distribution (beta-binomial) is skewed, once in seven million."""

untraced = pytest.mark.usefixtures("untraced")


@pytest.fixture(scope="module")
def model():
    made = set_weights(tiny_vae("gaussian_optimal", image_shape=SHAPE))
    with eagerly():
        made.calibrate(images(20, SHAPE, seed=9))
    return made


@pytest.fixture(scope="module")
def functions(model):
    return model.signatures(validation_scores=[3.0, 1.0, 2.0, 2.0])


@untraced
def test_anomaly_score_is_the_negative_elbo_of_an_evaluation(model, functions):
    x = images(3, SHAPE)
    score = functions["anomaly"](x)["score"]
    np.testing.assert_allclose(score, -model.predict(x, verbose=0)["elbo"], rtol=ROUNDING)


@untraced
def test_z_scores_explain_the_anomaly_score(model, functions):
    """-log N(x; mean, s^2) = sum of z^2 / 2 + D (log s + log(2 pi) / 2)."""
    x = images(3, SHAPE)
    found = functions["anomaly"](x)
    scale = float(functions["reconstruct"](x)["scale"][0])
    constant = 72 * (np.log(scale) + 0.5 * np.log(2 * np.pi))
    distortion = 0.5 * np.sum(found["z_score"].numpy() ** 2, axis=(1, 2, 3)) + constant
    rate = model(x).rate
    np.testing.assert_allclose(found["score"], distortion + rate, rtol=ROUNDING)


@untraced
def test_p_value_counts_the_scores_that_are_at_least_as_large(model):
    x = images(5, SHAPE)
    scores = model.signatures()["anomaly"](x)["score"].numpy()
    p_value = model.signatures(validation_scores=scores)["anomaly"](x)["p_value"].numpy()
    # Of five scores, the image's own among them: the largest has itself only.
    order = np.argsort(-scores)
    np.testing.assert_allclose(p_value[order], np.arange(2, 7) / 6, rtol=1e-6)


@untraced
def test_p_values_of_new_images_are_uniform(model):
    """Ranks among exchangeable scores: the share below t is t on average."""
    scores = model.signatures()["anomaly"](images(400, SHAPE, seed=1))["score"]
    anomaly = model.signatures(validation_scores=scores)["anomaly"]
    p_value = anomaly(images(400, SHAPE, seed=2))["p_value"].numpy()
    for level in (0.1, 0.5, 0.9):
        # Of the share of the new images, and of the level that the stored ones stand for.
        error = np.sqrt(2 * level * (1 - level) / 400)
        assert abs(np.mean(p_value <= level) - level) < NUM_STANDARD_ERRORS * error


@untraced
def test_without_scores_there_is_no_p_value(model):
    assert set(model.signatures()["anomaly"](images(1, SHAPE))) == {"score", "z_score"}


@untraced
def test_row_that_cannot_be_scored_is_nan_and_leaves_the_others(functions):
    x = images(4, SHAPE)
    seed = np.arange(8, dtype=np.int32).reshape(4, 2)
    bad = x.copy()
    bad[1, 0, 0, 0], bad[2, 3, 5, 2] = np.nan, 1.5
    for name in ("reconstruct", "encode", "elbo", "anomaly"):
        given = (seed,) if name == "elbo" else ()
        expected, found = functions[name](x, *given), functions[name](bad, *given)
        for output, value in found.items():
            assert np.all(np.isnan(value.numpy()[1:3])), (name, output)
            np.testing.assert_array_equal(value.numpy()[::3], expected[output].numpy()[::3])


@untraced
def test_latent_that_is_not_finite_is_nan_and_leaves_the_others(functions):
    """By itself it would not show: rectifiers make a NaN zero."""
    z = np.ones((3, 3), np.float32)
    expected = functions["decode"](z)
    z[1, 2] = np.nan
    for output, value in functions["decode"](z).items():
        assert np.all(np.isnan(value.numpy()[1]))
        np.testing.assert_array_equal(value.numpy()[::2], expected[output].numpy()[::2])


def test_wrong_shape_is_refused_by_the_graph_itself(functions):
    """A server does not compare shapes with the signature: the graph must."""
    x = images(1, (6, 4, 3))
    graph = functions["encode"].get_concrete_function().graph
    (operation,) = [op for op in graph.get_operations() if op.type == "EnsureShape"]
    assert operation.inputs[0].op.type == "Placeholder"
    assert operation.outputs[0].shape.as_list() == [None, *SHAPE]
    with pytest.raises((TypeError, ValueError, tf.errors.InvalidArgumentError)):
        functions["encode"](x)


@untraced
@pytest.mark.parametrize("likelihood", ["gaussian_fixed", "categorical"])
def test_files_are_read_to_the_bits_of_the_images(likelihood):
    """The noise of a score is a function of all bits: one rounded otherwise gives another z."""
    model = set_weights(tiny_vae(likelihood, image_shape=SHAPE))
    functions = model.signatures()
    levels = np.resize(np.arange(256, dtype=np.uint8), (4, *SHAPE))
    x = levels.astype(np.float32) / np.float32(255)
    files = [tf.io.encode_png(image).numpy() for image in levels]
    expected = -model.predict(x, verbose=0)["elbo"]
    np.testing.assert_allclose(functions["anomaly"](x)["score"], expected, rtol=ROUNDING)
    found = functions["anomaly_bytes"](files)
    np.testing.assert_allclose(found["score"], expected, rtol=ROUNDING)
    mean = tf.io.decode_png(functions["reconstruct_bytes"](files)["mean_bytes"][2]).numpy()
    exact = 255 * functions["reconstruct"](x)["mean"][2]
    assert np.max(np.abs(mean - exact)) <= 0.5 + 1e-3


@untraced
def test_png_of_z_scores_is_gray_at_zero_and_clipped_at_four(model):
    functions = model.signatures()
    x = images(1, SHAPE)
    files = [tf.io.encode_png(tf.cast(tf.round(255 * x[0]), tf.uint8)).numpy()]
    z_score = functions["anomaly"](x)["z_score"][0].numpy()
    picture = tf.io.decode_png(functions["anomaly_bytes"](files)["z_score_bytes"][0]).numpy()
    expected = np.clip(127.5 + 127.5 * z_score / 4.0, 0, 255)
    assert np.max(np.abs(picture - expected)) <= 0.5 + 1e-3


@untraced
def test_file_that_is_no_image_of_the_size_spoils_its_row_alone(model):
    """An error would fail the requests of others in the same batch."""
    functions = model.signatures(validation_scores=[1.0])
    pixels = tf.cast(tf.round(255 * images(1, SHAPE)[0]), tf.uint8)
    png, jpeg = tf.io.encode_png(pixels).numpy(), tf.io.encode_jpeg(pixels).numpy()
    larger = tf.io.encode_png(tf.zeros((5, 6, 3), tf.uint8)).numpy()
    files = [png, b"", b"GIF89a" + 20 * b".", png[:-20], jpeg[:-9], larger, jpeg]
    is_good = np.array([file in (png, jpeg) for file in files])
    mean = functions["reconstruct_bytes"](files)["mean_bytes"].numpy()
    found = {k: v.numpy() for k, v in functions["anomaly_bytes"](files).items()}
    alone = functions["anomaly_bytes"]([png])
    np.testing.assert_array_equal(mean != b"", is_good)
    np.testing.assert_array_equal(found["z_score_bytes"] != b"", is_good)
    np.testing.assert_array_equal(np.isfinite(found["score"]), is_good)
    np.testing.assert_array_equal(np.isfinite(found["p_value"]), is_good)
    np.testing.assert_allclose(found["score"][0], alone["score"][0], rtol=ROUNDING)
    assert tf.io.decode_png(mean[6]).shape == SHAPE


@pytest.mark.parametrize("scores", [[], [1.0, np.nan], [[1.0]], np.inf])
def test_scores_that_are_no_list_of_finite_numbers_are_refused(model, scores):
    with pytest.raises(ValueError, match="validation_scores must be"):
        model.signatures(validation_scores=scores)


@untraced
def test_images_of_two_channels_have_no_files():
    names = set(tiny_vae(image_shape=(4, 6, 2)).signatures())
    assert {"encode", "anomaly"} < names and not any(name.endswith("_bytes") for name in names)


@untraced
def test_same_seed_gives_the_same_sample_whatever_its_row(functions):
    seeds = np.array([[0, 1], [7, -3], [0, 1], [7, -2]], np.int32)
    first, alone = functions["sample"](seeds), functions["sample"](seeds[1:2])
    for name, value in first.items():
        value = value.numpy()
        # A row may be summed in another order elsewhere in a batch, and alone.
        np.testing.assert_allclose(value[0], value[2], atol=1e-6)
        np.testing.assert_allclose(value[1], alone[name][0], atol=1e-6)
        assert not np.allclose(value[0], value[1])
        assert not np.allclose(value[1], value[3])


def test_samples_are_normal_around_the_mean_with_the_stored_scale(functions):
    """Of two thousand rows: the noise has mean 0 and scale 1."""
    seeds = np.arange(4000, dtype=np.int32).reshape(-1, 2)
    found = functions["sample"](seeds)
    scale = functions["decode"](found["z"])["scale"]
    noise = (found["image"] - found["mean"]) / tf.reshape(scale, [-1, 1, 1, 1])
    noise = noise.numpy().astype(np.float64)
    assert abs(noise.mean()) < NUM_STANDARD_ERRORS / np.sqrt(noise.size)
    assert abs(noise.std() - 1) < NUM_STANDARD_ERRORS / np.sqrt(2 * noise.size)
    z = found["z"].numpy()
    assert np.max(np.abs(z.mean(axis=0))) < NUM_STANDARD_ERRORS / np.sqrt(len(z))
    # The decoder's noise and z come from one seed, by streams of their own.
    correlation = np.corrcoef(z[:, 0], noise[:, 0, 0, 0])[0, 1]
    assert abs(correlation) < NUM_STANDARD_ERRORS / np.sqrt(len(z))


@untraced
def test_grey_values_are_rounded_to_levels_for_a_mass():
    model = set_weights(tiny_vae("categorical", image_shape=SHAPE))
    x = images(2, SHAPE)
    functions = model.signatures()
    found = functions["anomaly"](x + np.float32(0.4 / 255) * (x < 0.9))["score"]
    np.testing.assert_allclose(found, functions["anomaly"](x)["score"], rtol=ROUNDING)


def test_export_of_a_model_without_a_scale_is_refused(tmp_path):
    with pytest.raises(NotCalibratedError):
        tiny_vae("gaussian_optimal").export(tmp_path / "saved")
    assert not (tmp_path / "saved").exists()


def test_export_refuses_other_formats_and_folders_that_are_not_empty(tmp_path):
    model = tiny_vae()
    with pytest.raises(ValueError, match="'onnx'.*export.convert"):
        model.export(tmp_path / "saved", format="onnx")
    (tmp_path / "note").write_text("mine")
    with pytest.raises(FileExistsError):
        model.export(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["note"]


def test_exported_regression_gives_the_parameters_of_its_prediction(tmp_path):
    backbone = keras.Sequential([keras.Input((4, 6, 1)), keras.layers.Conv2D(4, 3, padding="same")])
    model = models.WithLikelihood(backbone, "gaussian_per_pixel")
    model.export(tmp_path / "saved")
    loaded = tf.saved_model.load(tmp_path / "saved")
    x = images(3, (4, 6, 1))
    found = distributions.from_parameters(loaded.signatures["serving_default"](inputs=x))
    y = images(3, (4, 6, 2), seed=1)
    np.testing.assert_allclose(found.log_prob(y), model(x).log_prob(y), rtol=ROUNDING)


def test_regression_that_has_not_seen_an_input_is_refused(tmp_path):
    model = models.WithLikelihood(keras.Sequential([keras.layers.Dense(2)]), "gaussian_fixed")
    with pytest.raises(ValueError, match="call the model once"):
        model.export(tmp_path / "saved")
