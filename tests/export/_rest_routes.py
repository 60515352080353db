"""The REST routes of TensorFlow Serving, over `ServedVersions`."""

import base64
import http.server
import json
import re
import urllib.parse

import numpy as np

from tests.export._capi import CApiError
from tests.export._served_versions import INVALID_ARGUMENT

_PREDICT = re.compile(r"/v1/models/([^/:]+)(?:/versions/(\d+))?:predict")
_STATUS = re.compile(r"/v1/models/([^/:]+)(?:/versions/(\d+))?(/metadata)?")
# Of each code the name and the HTTP status.
_CODES = {
    0: ("OK", 200),
    3: ("INVALID_ARGUMENT", 400),
    5: ("NOT_FOUND", 404),
    9: ("FAILED_PRECONDITION", 400),
}
_UNKNOWN = ("UNKNOWN", 500)
_TYPE_NAMES = {"float32": "DT_FLOAT", "int32": "DT_INT32", "int64": "DT_INT64"}


def _bad(message: str) -> CApiError:
    return CApiError(INVALID_ARGUMENT, message)


def handler(served):
    """The request handler, for `http.server`, of a `ServedVersions`."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            """Says nothing."""

        def do_GET(self):
            self._answer(lambda: _get(served, self.path))

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self._answer(lambda: _predict(served, self.path, body))

        def _answer(self, make):
            status = 200
            try:
                content = make()
            except CApiError as error:
                status, content = _CODES.get(error.code, _UNKNOWN)[1], {"error": error.message}
            data = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    return Handler


def _parse(pattern, path):
    match = pattern.fullmatch(path)
    if not match:
        raise _bad(f"Malformed request: {path}")
    version = None if match[2] is None else int(match[2])
    return urllib.parse.unquote(match[1]), version, match


def _get(served, path):
    name, version, match = _parse(_STATUS, path)
    if match[3]:
        with served.session(name, version) as (session, found):
            signatures = {key: _signature(value) for key, value in session.signatures.items()}
        spec = {"name": name, "signature_name": "", "version": str(found)}
        return {
            "model_spec": spec,
            "metadata": {"signature_def": {"signature_def": signatures}},
        }
    return {
        "model_version_status": [
            {
                "version": str(number),
                "state": state,
                "status": {"error_code": _CODES.get(code, _UNKNOWN)[0], "error_message": message},
            }
            for number, (state, code, message) in served.states(name, version).items()
        ]
    }


def _signature(signature):
    return {
        "inputs": {name: _info(info) for name, info in signature.inputs.items()},
        "outputs": {name: _info(info) for name, info in signature.outputs.items()},
        "method_name": signature.method_name,
    }


def _info(info):
    shape = {
        "dim": [{"size": str(size), "name": ""} for size in info.shape or []],
        "unknown_rank": info.shape is None,
    }
    dtype = _TYPE_NAMES.get(info.dtype, f"DT_{info.dtype.upper()}")
    return {"dtype": dtype, "tensor_shape": shape, "name": info.name}


def _predict(served, path, body):
    name, version, _ = _parse(_PREDICT, path)
    try:
        request = json.loads(body)
    except ValueError as error:
        raise _bad(f"JSON Parse error: {error}") from error
    signature_name = request.get("signature_name") or "serving_default"
    with served.session(name, version) as (session, _):
        if signature_name not in session.signatures:
            raise _bad(f'Serving signature name: "{signature_name}" not found in signature def')
        infos = session.signatures[signature_name].inputs
        if ("instances" in request) == ("inputs" in request):
            raise _bad("Missing 'inputs' or 'instances' key, or both are there")
        is_row = "instances" in request
        columns = _columns(request["instances"], infos) if is_row else request["inputs"]
        if not isinstance(columns, dict):
            if len(infos) > 1:
                raise _bad("inputs is a plain value/list, but expecting an object")
            columns = {next(iter(infos)): columns}
        if set(infos) - set(columns):
            raise _bad(f"Missing named input: {sorted(set(infos) - set(columns))}")
        inputs = {key: _to_array(columns[key], info.dtype) for key, info in infos.items()}
        served.check_rows(inputs)
        outputs = session.run(signature_name, inputs)
    values = {key: _to_json(array, key) for key, array in outputs.items()}
    if not is_row:
        return {"outputs": values if len(values) > 1 else next(iter(values.values()))}
    if len(values) == 1:
        return {"predictions": next(iter(values.values()))}
    rows = zip(*values.values(), strict=True)
    return {"predictions": [dict(zip(values, row, strict=True)) for row in rows]}


def _columns(instances, infos):
    """The column format of a request in the row format."""
    if not isinstance(instances, list) or not instances:
        raise _bad("'instances' must be a list with values")
    if not isinstance(instances[0], dict) or set(instances[0]) == {"b64"}:
        return instances
    if any(set(row) != set(infos) for row in instances):
        raise _bad(f"keys of every instance must be equal to: {sorted(infos)}")
    return {key: [row[key] for row in instances] for key in infos}


def _to_array(value, dtype):
    if dtype == "string":
        nested = np.asarray(value, object)
        decoded = [base64.b64decode(v["b64"]) if isinstance(v, dict) else v.encode() for v in value]
        array = np.empty(len(decoded), object)
        array[:] = decoded
        return array.reshape(nested.shape)
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise _bad(f"Encountered list at unexpected size: {error}") from error
    allowed = "iuf" if np.dtype(dtype).kind == "f" else "iu"
    if array.size and array.dtype.kind not in allowed:
        raise _bad(f"JSON Value of type {array.dtype} is not of expected type: {dtype}")
    return array.astype(dtype)


def _to_json(array, name):
    if array.dtype != object:
        return array.tolist()
    if name.endswith("_bytes"):
        return [{"b64": base64.b64encode(value).decode()} for value in array]
    return [value.decode() for value in array]
