"""Reads the signatures of a `MetaGraphDef` from its bytes, without the protos of TensorFlow.

Those live inside the `tensorflow` package, which a process that tests the C API must not import.
Only the few fields of the protobuf wire format that make a signature are looked at; the numbers
are those of `meta_graph.proto`, `tensor_shape.proto` and `types.proto`.
"""

import dataclasses

TYPES = {
    1: "float32",
    2: "float64",
    3: "int32",
    4: "uint8",
    5: "int16",
    6: "int8",
    7: "string",
    9: "int64",
    10: "bool",
    19: "float16",
    22: "uint32",
    23: "uint64",
}
"""Names of the data types that NumPy has too, by their number in `types.proto`."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


@dataclasses.dataclass(frozen=True)
class TensorInfo:
    """One input or output: `name` in the graph ("node:0"), `dtype` by name, `shape` with -1."""

    name: str
    dtype: str
    shape: list[int] | None


@dataclasses.dataclass(frozen=True)
class Signature:
    """What a signature takes and gives, by the names that a client uses."""

    inputs: dict[str, TensorInfo]
    outputs: dict[str, TensorInfo]
    method_name: str


def signatures(meta_graph: bytes) -> dict[str, Signature]:
    """The signatures of a serialized `MetaGraphDef` that answer requests, by name.

    TensorFlow stores its own initialization as one more, without a method name.
    """
    stored = _map(meta_graph, 5, _signature)
    return {name: signature for name, signature in stored.items() if signature.method_name}


def _signature(data: bytes) -> Signature:
    inputs, outputs = _map(data, 1, _tensor_info), _map(data, 2, _tensor_info)
    return Signature(inputs, outputs, _text(data, 3))


def _tensor_info(data: bytes) -> TensorInfo:
    shape = _last(data, 3, b"")
    dims = [_signed(_last(dim, 1, 0)) for dim in _all(shape, 2)]
    number = _last(data, 2, 0)
    unknown_rank = bool(_last(shape, 3, 0))
    return TensorInfo(
        _text(data, 1), TYPES.get(number, str(number)), None if unknown_rank else dims
    )


def _map(data: bytes, number: int, read) -> dict:
    """A map field: repeated entries whose field 1 is the key and field 2 the value."""
    entries = _all(data, number)
    return {_text(entry, 1): read(_last(entry, 2, b"")) for entry in entries}


def _text(data: bytes, number: int) -> str:
    return _last(data, number, b"").decode()


def _last(data: bytes, number: int, default):
    """The value of a field that is not repeated; absent means the default, as in proto3."""
    return ([default, *_all(data, number)])[-1]


def _all(data: bytes, number: int) -> list:
    return [value for field, value in _fields(data) if field == number]


def _signed(value: int) -> int:
    """An int64 from its varint, which is the unsigned number of the same bits."""
    return value - (1 << 64) if value >> 63 else value


def _fields(data: bytes):
    """Yields (field number, value): an integer for a varint, bytes for everything else."""
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        kind = key & 7
        if kind == _VARINT:
            value, position = _varint(data, position)
        else:
            sizes = {_FIXED64: 8, _FIXED32: 4}
            if kind == _BYTES:
                size, position = _varint(data, position)
            elif kind in sizes:
                size = sizes[kind]
            else:
                raise ValueError(f"wire type {kind} at byte {position}: not a protobuf message")
            value, position = data[position : position + size], position + size
        yield key >> 3, value


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            return value, position


def op_list(data: bytes) -> dict[str, bool]:
    """Whether an operation has state, by name, of a serialized `OpList`."""
    return {_text(op, 1): bool(_last(op, 17, 0)) for op in _all(data, 1)}
