"""The gRPC services of TensorFlow Serving, over `ServedVersions`."""

import grpc
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from tests.export import _tensor_protos
from tests.export._capi import CApiError
from tests.export._served_versions import INVALID_ARGUMENT

_CODES = {code.value[0]: code for code in grpc.StatusCode}


def _version(spec):
    return spec.version.value if spec.HasField("version") else None


def _answered(method):
    """Turns what a method raises into the status of the call."""

    def answer(self, request, context):
        try:
            return method(self, request)
        except CApiError as error:
            return context.abort(_CODES.get(error.code, grpc.StatusCode.UNKNOWN), error.message)

    return answer


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Predict and GetModelMetadata."""

    def __init__(self, served):
        self._served = served

    @_answered
    def Predict(self, request):  # noqa: N802
        spec, response = request.model_spec, predict_pb2.PredictResponse()
        inputs = _tensor_protos.to_arrays(request.inputs)
        self._served.check_rows(inputs)
        with self._served.session(spec.name, _version(spec)) as (session, version):
            outputs = session.run(spec.signature_name or "serving_default", inputs)
        for name, array in outputs.items():
            response.outputs[name].CopyFrom(_tensor_protos.to_proto(array))
        response.model_spec.CopyFrom(spec)
        response.model_spec.version.value = version
        return response

    @_answered
    def GetModelMetadata(self, request):  # noqa: N802
        if list(request.metadata_field) != ["signature_def"]:
            message = f"Metadata field {list(request.metadata_field)} is not supported"
            raise CApiError(INVALID_ARGUMENT, message)
        spec, response = request.model_spec, get_model_metadata_pb2.GetModelMetadataResponse()
        signatures = get_model_metadata_pb2.SignatureDefMap()
        with self._served.session(spec.name, _version(spec)) as (session, version):
            for name, signature in session.signatures.items():
                stored = signatures.signature_def[name]
                stored.method_name = signature.method_name
                _fill(stored.inputs, signature.inputs)
                _fill(stored.outputs, signature.outputs)
        response.metadata["signature_def"].Pack(signatures)
        response.model_spec.name = spec.name
        response.model_spec.version.value = version
        return response


def _fill(stored, infos):
    for name, info in infos.items():
        stored[name].name = info.name
        stored[name].dtype = _tensor_protos.type_number(info.dtype)
        stored[name].tensor_shape.unknown_rank = info.shape is None
        for size in info.shape or []:
            stored[name].tensor_shape.dim.add(size=size)


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    """GetModelStatus."""

    def __init__(self, served):
        self._served = served

    @_answered
    def GetModelStatus(self, request):  # noqa: N802
        spec, response = request.model_spec, get_model_status_pb2.GetModelStatusResponse()
        for version, (state, code, message) in self._served.states(
            spec.name, _version(spec)
        ).items():
            status = response.model_version_status.add(version=version)
            status.state = get_model_status_pb2.ModelVersionStatus.State.Value(state)
            status.status.error_code = code
            status.status.error_message = message
        return response
