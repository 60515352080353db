"""`TensorProto` to NumPy and back, without TensorFlow."""

import numpy as np
from tensorflow.core.framework import tensor_pb2, types_pb2

# Of each dtype the name in types.proto and the field of TensorProto that holds its values.
_FIELDS = {
    "float32": ("DT_FLOAT", "float_val"),
    "float64": ("DT_DOUBLE", "double_val"),
    "int32": ("DT_INT32", "int_val"),
    "uint8": ("DT_UINT8", "int_val"),
    "int64": ("DT_INT64", "int64_val"),
    "string": ("DT_STRING", "string_val"),
}
_DTYPES = {getattr(types_pb2, name): dtype for dtype, (name, _) in _FIELDS.items()}


def type_number(dtype: str) -> int:
    """The number in types.proto of a dtype by name."""
    return getattr(types_pb2, _FIELDS[dtype][0])


def to_array(proto) -> np.ndarray:
    """The array of a `TensorProto`; strings as objects. A short list repeats its last value."""
    dtype = _DTYPES[proto.dtype]
    shape = [dim.size for dim in proto.tensor_shape.dim]
    kind = np.dtype(object if dtype == "string" else dtype)
    if proto.tensor_content:
        return np.frombuffer(proto.tensor_content, kind).reshape(shape)
    values = np.zeros(int(np.prod(shape)), kind)
    given = list(getattr(proto, _FIELDS[dtype][1]))
    if given:
        values[: len(given)] = given
        values[len(given) :] = given[-1]
    return values.reshape(shape)


def to_proto(array: np.ndarray):
    """The `TensorProto` of an array as the server writes it: in fields, not as one string."""
    dtype = "string" if array.dtype == object else array.dtype.name
    proto = tensor_pb2.TensorProto(dtype=type_number(dtype))
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    getattr(proto, _FIELDS[dtype][1]).extend(array.ravel().tolist())
    return proto


def to_arrays(protos) -> dict[str, np.ndarray]:
    """Arrays by name from a map of protos."""
    return {name: to_array(proto) for name, proto in protos.items()}
