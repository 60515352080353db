"""The way to a server by gRPC, with the official stubs."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf.message import Message

from tf_sigma_vae.export._transport import (
    Deadline,
    Metadata,
    ServingError,
    Signature,
    TensorInfo,
    address_error,
    closed_error,
    is_host,
    shape_of,
)

_INSTALL = (
    "gRPC needs two packages: `pip install grpcio` and `pip install --no-deps "
    "tensorflow-serving-api` (with its dependencies it would bring a second TensorFlow); "
    "an address that starts with http:// needs neither"
)
# No limit but that of protobuf, 2 GB: by default the channel refuses answers above 4 MB, which is
# some 300 images of 64 x 64 x 3.
_OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # By default a server that was away for a while is looked for every two minutes only.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
)


class GrpcTransport:
    """Talks to `PredictionService` and `ModelService`; threads may share it.

    Args:
      address: `"host:port"`, an IPv6 host in brackets.

    Raises:
      ValueError: If the address is not of that form.
      ImportError: If gRPC or the stubs are not installed.
    """

    names_version = True

    def __init__(self, address: str) -> None:
        # gRPC itself would take the port 443 where there is none.
        if not is_host(address, needs_port=True):
            raise address_error(address)
        try:
            import grpc
            from tensorflow_serving.apis import model_service_pb2_grpc as model_service
            from tensorflow_serving.apis import prediction_service_pb2_grpc as prediction_service
        except ImportError as error:
            raise ImportError(f"{error}. {_INSTALL}") from error
        self.address, self._grpc, self._closed = address, grpc, False
        self._channel = grpc.insecure_channel(address, options=_OPTIONS)
        self._prediction = prediction_service.PredictionServiceStub(self._channel)
        self._model = model_service.ModelServiceStub(self._channel)

    def predict(
        self,
        name: str,
        version: int | None,
        signature_name: str,
        signature: Signature,
        inputs: Mapping[str, np.ndarray],
        deadline: Deadline,
    ) -> tuple[dict[str, np.ndarray], int]:
        """Outputs by name, and the version that gave them."""
        from tensorflow_serving.apis.predict_pb2 import PredictRequest

        request = PredictRequest()
        self._fill(request.model_spec, name, version)
        request.model_spec.signature_name = signature_name
        for key, array in inputs.items():
            request.inputs[key].CopyFrom(tf.make_tensor_proto(array))
        response = self._call(self._prediction.Predict, request, deadline)
        outputs = {key: tf.make_ndarray(proto) for key, proto in response.outputs.items()}
        return outputs, response.model_spec.version.value

    def metadata(self, name: str, version: int | None, deadline: Deadline) -> Metadata:
        """The signatures of a version, by default of the newest."""
        from tensorflow_serving.apis import get_model_metadata_pb2 as messages

        request = messages.GetModelMetadataRequest(metadata_field=["signature_def"])
        self._fill(request.model_spec, name, version)
        response = self._call(self._prediction.GetModelMetadata, request, deadline)
        signatures = messages.SignatureDefMap()
        response.metadata["signature_def"].Unpack(signatures)
        return Metadata(
            response.model_spec.version.value,
            {
                key: Signature(_infos(value.inputs), _infos(value.outputs))
                for key, value in signatures.signature_def.items()
                if value.method_name
            },
        )

    def states(
        self, name: str, version: int | None, deadline: Deadline
    ) -> dict[int, tuple[str, str]]:
        """State and message of the versions that the server knows."""
        from tensorflow_serving.apis import get_model_status_pb2 as messages

        request = messages.GetModelStatusRequest()
        self._fill(request.model_spec, name, version)
        response = self._call(self._model.GetModelStatus, request, deadline)
        name_of = messages.ModelVersionStatus.State.Name
        return {
            status.version: (name_of(status.state), status.status.error_message)
            for status in response.model_version_status
        }

    def close(self) -> None:
        """Closes the channel; requests under way end with `CANCELLED`."""
        self._closed = True
        self._channel.close()

    def _fill(self, spec: Any, name: str, version: int | None) -> None:
        spec.name = name
        if version is not None:
            spec.version.value = version

    def _call(self, method: Callable[..., Any], request: Message, deadline: Deadline) -> Any:
        try:
            return method(request, timeout=deadline.left())
        except self._grpc.RpcError as error:
            code, message = error.code().name, error.details()
            if code == "DEADLINE_EXCEEDED":
                raise deadline.error(f" from {self.address} ({message})") from error
            if code == "UNAVAILABLE":
                message = f"{self.address} does not answer ({message})"
            raise ServingError(code, message) from error
        except ValueError as error:
            # What gRPC says of a channel that is closed, here by another thread in between.
            if not self._closed:
                raise
            raise closed_error() from error


def _infos(infos: Mapping[str, Any]) -> dict[str, TensorInfo]:
    """`TensorInfo` by name from a map of protos of that name."""
    return {
        key: TensorInfo(
            tf.dtypes.as_dtype(info.dtype).name,
            shape_of([dim.size for dim in info.tensor_shape.dim], info.tensor_shape.unknown_rank),
        )
        for key, info in infos.items()
    }
