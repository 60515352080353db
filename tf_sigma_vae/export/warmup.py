"""Requests that a server runs while it loads a model, so that the first user does not wait.

They lie beside the SavedModel, in `assets.extra/tf_serving_warmup_requests`: a TFRecord of
`tensorflow.serving.PredictionLog`. The few fields that a request needs are encoded here, by the
protobuf wire format, because the package of those messages (tensorflow-serving-api) would bring a
TensorFlow of its own.

A request that the model cannot answer makes a server refuse the model: so each is checked first.
"""

import os
from collections.abc import Mapping

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

from tf_sigma_vae.export.server_files import check_name

FILE = os.path.join("assets.extra", "tf_serving_warmup_requests")
"""Where a server looks, in the folder of the SavedModel."""
MAX_REQUESTS = 1000
"""More make a server refuse the model."""


def write_requests(
    saved_model_folder: str, requests: dict[str, dict[str, np.ndarray]], model_name: str
) -> None:
    """Writes one request for each signature into the folder of a SavedModel.

    Args:
      saved_model_folder: Of the SavedModel; the file is written into it.
      requests: Arrays by the name of the input, by signature, with at least one row each.
      model_name: Name of the served model.

    Raises:
      ValueError: If there are more than 1000, or one that the SavedModel could not answer.
      OSError: If the folder holds no SavedModel or cannot be written to.
    """
    check_name(model_name)
    if len(requests) > MAX_REQUESTS:
        raise ValueError(f"{len(requests)} warm-up requests: a server takes at most {MAX_REQUESTS}")
    signatures = _signatures(saved_model_folder)
    for signature, inputs in requests.items():
        if signature not in signatures:
            raise ValueError(
                f"the model has no signature {signature!r}; it has {', '.join(sorted(signatures))}"
            )
        _check_inputs(signature, inputs, signatures[signature].inputs)
    path = os.path.join(saved_model_folder, FILE)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with tf.io.TFRecordWriter(path) as writer:
        for signature, inputs in requests.items():
            writer.write(_prediction_log(model_name, signature, inputs))


def _signatures(folder: str) -> dict[str, meta_graph_pb2.SignatureDef]:
    with open(os.path.join(folder, "saved_model.pb"), "rb") as file:
        graphs = saved_model_pb2.SavedModel.FromString(file.read()).meta_graphs
    # TensorFlow stores its own initialization as one more, without a method.
    return {name: found for name, found in graphs[0].signature_def.items() if found.method_name}


def _check_inputs(
    signature: str, inputs: dict[str, np.ndarray], infos: Mapping[str, meta_graph_pb2.TensorInfo]
) -> None:
    if set(inputs) != set(infos):
        raise ValueError(
            f"signature {signature!r} takes {sorted(infos)}, the request has {sorted(inputs)}"
        )
    for name, array in inputs.items():
        info = infos[name]
        dtype, shape = tf.as_dtype(info.dtype), tf.TensorShape(info.tensor_shape)
        if tf.as_dtype(array.dtype) != dtype or not shape.is_compatible_with(array.shape):
            raise ValueError(
                f"input {name!r} of signature {signature!r} is {dtype.name} {shape}, the request "
                f"has {tf.as_dtype(array.dtype).name} {array.shape}"
            )
        # A server that batches would wait for rows that never come.
        if array.ndim == 0 or len(array) == 0:
            raise ValueError(f"input {name!r} of signature {signature!r} has no row")


def _prediction_log(model_name: str, signature: str, inputs: dict[str, np.ndarray]) -> bytes:
    """A serialized `PredictionLog`; the numbers are those of its .proto files."""
    # ModelSpec {name = 1, signature_name = 3}
    request = _field(1, _field(1, model_name.encode()) + _field(3, signature.encode()))
    for name, array in inputs.items():
        tensor = tf.make_tensor_proto(array).SerializeToString()
        # PredictRequest {model_spec = 1, inputs = 2: map of {key = 1, value = 2}}
        request += _field(2, _field(1, name.encode()) + _field(2, tensor))
    # PredictionLog {predict_log = 6: PredictLog {request = 1}}
    return _field(6, _field(1, request))


def _field(number: int, value: bytes) -> bytes:
    """A field with a length: string, bytes, message."""
    return bytes([number << 3 | 2]) + _varint(len(value)) + value


def _varint(number: int) -> bytes:
    """Seven bits a byte, the lowest first; the eighth says that more follow."""
    parts = []
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*parts, number])
