"""The warm-up file is what the official messages say, and holds only requests that are answered."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from tf_sigma_vae.export import warmup

# More than 2**14 bytes as a tensor, so that lengths take one, two and three bytes.
IMAGES = np.random.default_rng(0).random((70, 4, 6, 3), np.float32)
REQUESTS = {
    "encode": {"images": IMAGES},
    "elbo": {"images": IMAGES[:5], "seed": np.arange(10, dtype=np.int32).reshape(5, 2) - 3},
    # As objects: an array of dtype S would drop the zeros at the end.
    "anomaly_bytes": {"image_bytes": np.array([b"\x89PNG\r\n\0", b"", b"\xff\xd8\0"], object)},
}


@pytest.fixture(scope="module")
def saved_model(tmp_path_factory):
    """A SavedModel with the inputs of an export, and nothing else of it."""
    specs = {
        "images": tf.TensorSpec((None, 4, 6, 3), tf.float32, "images"),
        "seed": tf.TensorSpec((None, 2), tf.int32, "seed"),
        "image_bytes": tf.TensorSpec((None,), tf.string, "image_bytes"),
    }

    @tf.function
    def rows(*tensors):
        return {"rows": tf.shape(tensors[0])[:1]}

    signatures = {
        name: rows.get_concrete_function(*(specs[key] for key in inputs))
        for name, inputs in REQUESTS.items()
    }
    folder = str(tmp_path_factory.mktemp("saved_model"))
    tf.saved_model.save(tf.Module(), folder, signatures=signatures)
    return folder


def read(folder) -> list[prediction_log_pb2.PredictionLog]:
    records = tf.data.TFRecordDataset(f"{folder}/assets.extra/tf_serving_warmup_requests")
    return [prediction_log_pb2.PredictionLog.FromString(r.numpy()) for r in records]


def test_official_messages_hold_the_requests(saved_model):
    warmup.write_requests(saved_model, REQUESTS, "digits-1.0")
    for log, (signature, inputs) in zip(read(saved_model), REQUESTS.items(), strict=True):
        assert log.WhichOneof("log_type") == "predict_log"
        request = log.predict_log.request
        assert (request.model_spec.name, request.model_spec.signature_name) == (
            "digits-1.0",
            signature,
        )
        assert set(request.inputs) == set(inputs)
        for name, array in inputs.items():
            np.testing.assert_array_equal(tf.make_ndarray(request.inputs[name]), array)
            assert tf.as_dtype(request.inputs[name].dtype) == tf.as_dtype(array.dtype)


def test_messages_hold_nothing_else(saved_model):
    warmup.write_requests(saved_model, {"elbo": REQUESTS["elbo"]}, "digits")
    (log,) = read(saved_model)
    expected = prediction_log_pb2.PredictionLog()
    spec = expected.predict_log.request.model_spec
    spec.name, spec.signature_name = "digits", "elbo"
    for name, array in REQUESTS["elbo"].items():
        tensor = tf.make_tensor_proto(array)
        expected.predict_log.request.inputs[name].CopyFrom(tensor)
    assert log == expected


@pytest.mark.parametrize(
    ("signature", "inputs", "message"),
    [
        ("classify", {}, "no signature 'classify'; it has anomaly_bytes, elbo, encode"),
        ("elbo", {"images": IMAGES}, r"takes \['images', 'seed'\], the request has \['images'\]"),
        ("encode", {"image": IMAGES}, r"takes \['images'\], the request has \['image'\]"),
        ("encode", {"images": IMAGES[:, :3]}, r"float32 \(None, 4, 6, 3\), .* \(70, 3, 6, 3\)"),
        ("encode", {"images": IMAGES[0]}, r"float32 .*, the request has float32 \(4, 6, 3\)"),
        ("encode", {"images": IMAGES.astype(np.float64)}, "float32 .*, the request has float64"),
        ("encode", {"images": IMAGES[:0]}, "'images' of signature 'encode' has no row"),
    ],
)
def test_request_that_would_make_a_server_refuse_the_model_is_refused(
    saved_model, signature, inputs, message
):
    with pytest.raises(ValueError, match=message):
        warmup.write_requests(saved_model, {signature: inputs}, "digits")


def test_more_requests_than_a_server_takes_are_refused(saved_model):
    requests = {str(number): {} for number in range(warmup.MAX_REQUESTS + 1)}
    with pytest.raises(ValueError, match="1001 warm-up requests: a server takes at most 1000"):
        warmup.write_requests(saved_model, requests, "digits")


def test_impossible_name_is_refused(saved_model):
    with pytest.raises(ValueError, match="name of the model is 'a/b'"):
        warmup.write_requests(saved_model, REQUESTS, "a/b")


def test_folder_without_a_saved_model_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"saved_model\.pb"):
        warmup.write_requests(str(tmp_path), REQUESTS, "digits")
