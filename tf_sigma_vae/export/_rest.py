"""The way to a server by REST: the standard library and NumPy, no other package.

Requests are in the column format, `{"inputs": {name: array}}`, not in the row format,
`{"instances": [{name: row}, ...]}`: every name is written once and not once a row, an array is
one nested list that NumPy makes and reads in one step, and nothing depends on whether a signature
has one output or several but one bare array, which is told from the signature. Byte strings are
`{"b64": ...}`. Numbers lose nothing: the server writes as many digits as a float32 needs, and
reads a float64, which the digits of Python name exactly; NaN and the infinities are words that
both sides know.
"""

import base64
import http.client
import json
import re
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from tf_sigma_vae.export._transport import (
    Deadline,
    Metadata,
    ServingError,
    Signature,
    TensorInfo,
    address_error,
    is_host,
    shape_of,
)

_CODES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    409: "ABORTED",
    412: "FAILED_PRECONDITION",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_DTYPES = {"float": "float32", "double": "float64", "half": "float16"}
_CHUNK_BYTES = 1 << 20
_Answer = TypeVar("_Answer")
# Scheme, host with or without port, path of what may stand in the line of a request; no query.
_ADDRESS = re.compile(r"(?i:(https?))://([^/?#]+)((?:/[!\"$->@-~]*)?)")


class RestTransport:
    """Talks JSON over HTTP, a connection a request, so that threads share nothing.

    Args:
      address: `"http://host:port"`, or https, by default port 80 or 443; an IPv6 host in brackets.
        A path in front of the routes is kept.

    Raises:
      ValueError: If the address is not of that form.
    """

    names_version = False

    def __init__(self, address: str) -> None:
        kinds = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}
        match = _ADDRESS.fullmatch(address)
        if match is None or not is_host(match[2], needs_port=False):
            raise address_error(address)
        self.address, self._kind, self._host = address, kinds[match[1].lower()], match[2]
        self._path = match[3].rstrip("/")

    def predict(
        self,
        name: str,
        version: int | None,
        signature_name: str,
        signature: Signature,
        inputs: Mapping[str, np.ndarray],
        deadline: Deadline,
    ) -> tuple[dict[str, np.ndarray], int | None]:
        """Outputs by name, and the version that was asked for: the answer does not tell."""
        columns = {key: _to_json(array) for key, array in inputs.items()}
        body = json.dumps({"signature_name": signature_name, "inputs": columns})
        path = self._route(name, version) + ":predict"

        def outputs(answer: dict[str, Any]) -> dict[str, np.ndarray]:
            found, infos = answer["outputs"], signature.outputs
            if not isinstance(found, dict):
                (only,) = infos
                found = {only: found}
            return {key: _from_json(found[key], info) for key, info in infos.items()}

        return self._call("POST", path, body, deadline, outputs), version

    def metadata(self, name: str, version: int | None, deadline: Deadline) -> Metadata:
        """The signatures of a version, by default of the newest."""
        return self._call(
            "GET", self._route(name, version) + "/metadata", None, deadline, _metadata
        )

    def states(
        self, name: str, version: int | None, deadline: Deadline
    ) -> dict[int, tuple[str, str]]:
        """State and message of the versions that the server knows."""
        return self._call("GET", self._route(name, version), None, deadline, _states)

    def close(self) -> None:
        """There is no connection between requests."""

    def _route(self, name: str, version: int | None) -> str:
        pinned = "" if version is None else f"/versions/{version}"
        return f"{self._path}/v1/models/{urllib.parse.quote(name, safe='')}{pinned}"

    def _call(
        self,
        method: str,
        path: str,
        body: str | None,
        deadline: Deadline,
        read: Callable[[Any], _Answer],
    ) -> _Answer:
        """What `read` makes of the JSON of the answer."""
        try:
            status, text = self._exchange(method, path, body, deadline)
        except TimeoutError as error:
            raise deadline.error(f" from {self.address}") from error
        except (OSError, http.client.HTTPException) as error:
            reason = str(error) or type(error).__name__
            raise ServingError(
                "UNAVAILABLE", f"{self.address} does not answer ({reason})"
            ) from error
        if status != 200:
            raise ServingError(_CODES.get(status, "UNKNOWN"), _error_message(status, text))
        try:
            answer = json.loads(text)
        except ValueError as error:
            raise ServingError("INTERNAL", f"{path} answered no JSON: {text[:200]!r}") from error
        try:
            return read(answer)
        except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
            message = f"{path} did not answer as TensorFlow Serving does: {text[:200]!r}"
            raise ServingError("INTERNAL", message) from error

    def _exchange(
        self, method: str, path: str, body: str | None, deadline: Deadline
    ) -> tuple[int, bytes]:
        """HTTP status and body; the timeout of a socket is that of one operation, hence renewed."""
        connection = self._kind(self._host, timeout=deadline.left())
        try:
            connection.connect()
            sock = connection.sock
            sock.settimeout(deadline.left())
            headers = {} if body is None else {"Content-Type": "application/json"}
            connection.request(method, path, body, headers)
            sock.settimeout(deadline.left())
            response = connection.getresponse()
            chunks = [b""]
            while not response.isclosed():
                sock.settimeout(deadline.left())
                chunks.append(response.read1(_CHUNK_BYTES))
                if not chunks[-1]:
                    break
            if response.length:
                raise http.client.IncompleteRead(b"".join(chunks), response.length)
            return response.status, b"".join(chunks)
        finally:
            connection.close()


def _metadata(answer: dict[str, Any]) -> Metadata:
    signatures = answer["metadata"]["signature_def"]["signature_def"]
    return Metadata(
        int(answer["model_spec"]["version"]),
        {
            # Fields without content may be absent.
            key: Signature(_infos(value.get("inputs", {})), _infos(value.get("outputs", {})))
            for key, value in signatures.items()
            if value.get("method_name")
        },
    )


def _states(answer: dict[str, Any]) -> dict[int, tuple[str, str]]:
    return {
        int(item["version"]): (str(item["state"]), str(item["status"].get("error_message", "")))
        for item in answer["model_version_status"]
    }


def _infos(infos: Mapping[str, Any]) -> dict[str, TensorInfo]:
    """`TensorInfo` by name from the protos of that name, as JSON writes them."""
    found = {}
    for key, info in infos.items():
        name = info["dtype"].removeprefix("DT_").lower()
        shape = info["tensor_shape"]
        # An int64 is a string in the JSON of a proto.
        sizes = [int(dim["size"]) for dim in shape.get("dim", [])]
        unknown = shape.get("unknown_rank", False)
        found[key] = TensorInfo(_DTYPES.get(name, name), shape_of(sizes, unknown))
    return found


def _error_message(status: int, text: bytes) -> str:
    """The server's words: `{"error": ...}`, where what answers is the server and no proxy."""
    try:
        return str(json.loads(text)["error"])
    except (ValueError, TypeError, KeyError):
        return f"HTTP {status}: {text[:500].decode(errors='replace')}"


def _to_json(array: np.ndarray) -> list[Any]:
    """Nested lists; byte strings in base64, whatever the name of the input."""
    if array.dtype != object:
        return array.tolist()
    encoded = [{"b64": base64.b64encode(value).decode()} for value in array.ravel()]
    return _reshaped(encoded, array.shape).tolist()


def _from_json(value: object, info: TensorInfo) -> np.ndarray:
    if info.dtype != "string":
        return np.asarray(value, info.dtype)
    nested = np.asarray(value, object)
    return _reshaped([_to_bytes(item) for item in nested.ravel()], nested.shape)


def _to_bytes(item: dict[str, str] | str) -> bytes:
    """Outputs of which the name ends in `_bytes` are base64, others text."""
    return base64.b64decode(item["b64"]) if isinstance(item, dict) else item.encode()


def _reshaped(items: Sequence[object], shape: tuple[int, ...]) -> np.ndarray:
    array = np.empty(len(items), object)
    array[:] = items
    return array.reshape(shape)
