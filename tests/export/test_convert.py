import itertools
import os
import sys

import numpy as np
import pytest
import tensorflow as tf

from tests._models import images, set_weights, tiny_vae
from tf_sigma_vae.export import convert
from tf_sigma_vae.export.check import ExportError

SHAPE = (9, 8, 3)
DENSE_SHAPE = (4, 6, 3)
# Relative to the largest value: float32 sums in another order, another exponential.
FLOAT32 = 1e-5
FORMATS = pytest.mark.parametrize(
    "file_format", ["tflite", pytest.param("onnx", marks=pytest.mark.slow)]
)
# The most operations for one converter, and for the other TFP's broadcasting, which it lacks.
QUICK = (("logistic_mixture", "tflite"), ("gaussian_optimal", "onnx"))
# One of each kind of graph: the others differ from these in nothing that is converted.
LIKELIHOODS = ("gaussian_optimal", "student_t", "categorical", "logistic_mixture")
CASES = [
    pytest.param(*case, marks=() if case in QUICK else pytest.mark.slow)
    for case in itertools.product(LIKELIHOODS, convert.FORMATS)
]


def calibrated(likelihood, image_shape=SHAPE, network="conv28", **kwargs):
    model = set_weights(tiny_vae(likelihood, image_shape, network, **kwargs))
    model.calibrate(images(20, image_shape))
    return model


def outputs(path, inputs):
    """What a runtime that is not TensorFlow answers, in the order of the names."""
    if path.suffix == ".tflite":
        with pytest.warns(UserWarning, match="tf.lite.Interpreter is deprecated"):
            interpreter = tf.lite.Interpreter(model_path=str(path))
        return interpreter.get_signature_runner()(**inputs)
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


def assert_equal_outputs(answered, expected):
    assert set(answered) == set(expected)
    for name, value in expected.items():
        size = max(1.0, np.max(np.abs(value)))
        assert answered[name].dtype == np.float32
        np.testing.assert_allclose(answered[name], value, atol=FLOAT32 * size, err_msg=name)


@pytest.mark.parametrize(("likelihood", "file_format"), CASES)
def test_decode_of_every_kind_of_likelihood_gives_the_parameters_of_the_model(
    likelihood, file_format, tmp_path
):
    model = calibrated(likelihood, DENSE_SHAPE, "dense")
    path = tmp_path / f"decode.{file_format}"
    write = {"tflite": convert.to_tflite, "onnx": convert.to_onnx}[file_format]
    write(model.signatures()["decode"], os.fspath(path))
    z = np.random.default_rng(1).normal(size=(5, 3)).astype(np.float32)
    expected = model.likelihood.parameters(model.decode(z))
    # In one file, several sizes of the batch, one after the other.
    for size in (1, 5, 2):
        first = {name: value.numpy()[:size] for name, value in expected.items()}
        assert_equal_outputs(outputs(path, {"z": z[:size]}), first)


@FORMATS
def test_a_model_becomes_an_encoder_and_a_decoder_that_were_compared_with_it(file_format, tmp_path):
    """In the float32 of its weights, though it computes in bfloat16."""
    model = calibrated("gaussian_optimal", dtype="mixed_bfloat16")
    found = convert.convert(model, os.fspath(tmp_path), [file_format])
    assert model.compute_dtype == "bfloat16"
    files = {f"{file_format}/{name}.{file_format}" for name in ("encode", "decode")}
    written = (path for path in tmp_path.rglob("*") if path.is_file())
    assert {path.relative_to(tmp_path).as_posix() for path in written} == files == set(found)
    assert all(0.0 <= difference < FLOAT32 for difference in found.values())

    exact = tiny_vae("gaussian_optimal", SHAPE, "conv28")
    exact.set_weights(model.get_weights())
    z = np.random.default_rng(1).normal(size=(5, 3)).astype(np.float32)
    expected = {k: v.numpy() for k, v in exact.likelihood.parameters(exact.decode(z)).items()}
    decoder = tmp_path / file_format / f"decode.{file_format}"
    assert_equal_outputs(outputs(decoder, {"z": z}), expected)

    x = images(5, SHAPE, seed=3)
    posterior = exact.encode(x)
    expected = {"z_mean": posterior.mean().numpy(), "z_scale": posterior.stddev().numpy()}
    encoder = tmp_path / file_format / f"encode.{file_format}"
    assert_equal_outputs(outputs(encoder, {"images": x}), expected)
    # As the signature does: a row that cannot be used has no influence on the others.
    x[1, 0, 0, 0], x[3, 2, 1, 0] = np.nan, 1.5
    for name, value in outputs(encoder, {"images": x}).items():
        assert np.all(np.isnan(value[[1, 3]])), name
        kept = [0, 2, 4]
        np.testing.assert_allclose(value[kept], expected[name][kept], rtol=FLOAT32, atol=FLOAT32)


def answering(answer):
    """A model whose signatures are one function of latents."""
    spec = [tf.TensorSpec([None, 3], name="z")]

    class Model:
        compute_dtype = "float32"

        def signatures(self):
            return dict.fromkeys(convert.SIGNATURES, tf.function(answer, input_signature=spec))

    return Model()


def doubled(z):
    return {"mean": 2.0 * z, "scale": z}


def of_another_model(z):
    # Off by ten times the tolerance, of the size of the largest number.
    return {"mean": 2.002 * z, "scale": z}


def without_scale(z):
    return {"mean": 2.0 * z}


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (of_another_model, r"encode\.tflite differs from the Python model by \d.* of the size"),
        (without_scale, r"encode\.tflite differs from the Python model by nan"),
    ],
)
def test_a_file_that_answers_otherwise_than_the_model_is_refused(
    written, message, tmp_path, monkeypatch
):
    def write(function, path):
        convert.to_tflite(answering(written).signatures()["encode"], path)

    reader = convert._CONVERTERS["tflite"][1]
    monkeypatch.setitem(convert._CONVERTERS, "tflite", (write, reader))
    with pytest.raises(ExportError, match=message):
        convert.convert(answering(doubled), os.fspath(tmp_path), ["tflite"])


def test_an_operation_that_a_format_lacks_is_named_and_leaves_no_file(tmp_path):
    unusual = answering(lambda z: {"mean": tf.math.igamma(z, z)})
    with pytest.raises(ExportError, match="encode cannot be converted to tflite: .*Igamma"):
        convert.convert(unusual, os.fspath(tmp_path), ["tflite"])
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


def test_a_failed_write_leaves_the_file_that_was_there(tmp_path, monkeypatch):
    @tf.function(input_signature=[tf.TensorSpec([None, 3], name="z")])
    def function(z):
        return {"mean": 2.0 * z}

    path = tmp_path / "decode.tflite"
    path.write_bytes(b"before")

    def no_space(source, target):
        raise OSError("no space left")

    monkeypatch.setattr(os, "replace", no_space)
    with pytest.raises(OSError, match="no space left"):
        convert.to_tflite(function, os.fspath(path))
    assert [p.name for p in tmp_path.iterdir()] == ["decode.tflite"]
    assert path.read_bytes() == b"before"


def test_formats_are_checked_before_any_work(tmp_path, monkeypatch):
    convert.check_formats(())
    convert.check_formats(["tflite"])
    with pytest.raises(ValueError, match="there is no format 'coreml'; known: tflite, onnx"):
        convert.convert(None, os.fspath(tmp_path), ["tflite", "coreml"])
    for name in ("tf2onnx", "onnxruntime"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match="'onnx' .*`pip install tf2onnx onnxruntime`"):
        convert.convert(None, os.fspath(tmp_path), ["tflite", "onnx"])
    assert not any(tmp_path.iterdir())


def test_onnx_of_a_function_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    with pytest.raises(ImportError, match="pip install tf2onnx"):
        convert.to_onnx(tf.function(lambda z: {"mean": z}), os.fspath(tmp_path / "a.onnx"))


def test_a_model_without_encoder_and_decoder_is_refused(tmp_path):
    class Denoiser:
        compute_dtype = "float32"

        def signatures(self):
            return {"serving_default": None}

    with pytest.raises(ValueError, match="encode and decode .* this one has: serving_default"):
        convert.convert(Denoiser(), os.fspath(tmp_path), ["tflite"])
