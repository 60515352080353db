"""The functions of TensorFlow's C API, opened with ctypes, and NumPy arrays as its tensors.

The two shared libraries of the `tensorflow` wheel are opened; the Python package is not imported.
"""

import contextlib
import ctypes
import functools
import importlib.machinery
import pathlib

import numpy as np

from tests.export import _wire

POINTER = ctypes.c_void_p
_INT, _INT64, _SIZE, _TEXT = ctypes.c_int, ctypes.c_int64, ctypes.c_size_t, ctypes.c_char_p
_NUMBERS = {name: number for number, name in _wire.TYPES.items()}
_STRING_SIZE = 24  # sizeof(TF_TString)


class CApiError(Exception):
    """A status of TensorFlow other than OK: `code` (as in gRPC) and `message`."""

    def __init__(self, code: int, message: str):
        super().__init__(f"{message} (code {code})")
        self.code, self.message = code, message


class _Buffer(ctypes.Structure):
    _fields_ = [("data", POINTER), ("length", _SIZE), ("deallocator", POINTER)]


class Output(ctypes.Structure):
    """`TF_Output`: the place `index` among the outputs of an operation."""

    _fields_ = [("operation", POINTER), ("index", _INT)]


_BUFFER, _OUTPUTS = ctypes.POINTER(_Buffer), ctypes.POINTER(Output)
_POINTERS, _TEXTS = ctypes.POINTER(POINTER), ctypes.POINTER(_TEXT)
_FEEDS = (_OUTPUTS, _POINTERS, _INT)

# By library, then by name: the result, then the arguments.
_DECLARED = {
    "libtensorflow_framework.so.2": {
        "TF_NewStatus": [POINTER],
        "TF_DeleteStatus": [None, POINTER],
        "TF_GetCode": [_INT, POINTER],
        "TF_Message": [_TEXT, POINTER],
        "TF_NewBuffer": [_BUFFER],
        "TF_DeleteBuffer": [None, _BUFFER],
        "TF_AllocateTensor": [POINTER, _INT, ctypes.POINTER(_INT64), _INT, _SIZE],
        "TF_DeleteTensor": [None, POINTER],
        "TF_TensorData": [POINTER, POINTER],
        "TF_TensorByteSize": [_SIZE, POINTER],
        "TF_TensorType": [_INT, POINTER],
        "TF_NumDims": [_INT, POINTER],
        "TF_Dim": [_INT64, POINTER, _INT],
    },
    "libtensorflow_cc.so.2": {
        "TF_NewGraph": [POINTER],
        "TF_DeleteGraph": [None, POINTER],
        "TF_GraphOperationByName": [POINTER, POINTER, _TEXT],
        "TF_NewSessionOptions": [POINTER],
        "TF_DeleteSessionOptions": [None, POINTER],
        "TF_LoadSessionFromSavedModel": [
            *(POINTER, POINTER, POINTER, _TEXT, _TEXTS, _INT, POINTER, _BUFFER, POINTER)
        ],
        "TF_SessionRun": [
            *(None, POINTER, POINTER, *_FEEDS, *_FEEDS, POINTER, _INT, POINTER, POINTER)
        ],
        "TF_CloseSession": [None, POINTER, POINTER],
        "TF_DeleteSession": [None, POINTER, POINTER],
        "TF_GetAllOpList": [_BUFFER],
        "TF_StringInit": [None, POINTER],
        "TF_StringCopy": [None, POINTER, _TEXT, _SIZE],
        "TF_StringGetDataPointer": [POINTER, POINTER],
        "TF_StringGetSize": [_SIZE, POINTER],
        # tensorflow::DisableXlaCompilation(), which the server calls when it starts, and its
        # opposite: what asks to be compiled by XLA fails from then on.
        "_ZN10tensorflow21DisableXlaCompilationEv": [None],
        "_ZN10tensorflow20EnableXlaCompilationEv": [None],
    },
}


@functools.cache
def functions():
    """The functions of the C API, as attributes.

    The path finder itself is asked, not `importlib.util.find_spec`: a process that blocks the
    import of tensorflow blocks that too. Never RTLD_GLOBAL: the libraries bring their own protobuf
    and absl, whose symbols would take the place of those of other extensions.
    """
    spec = importlib.machinery.PathFinder.find_spec("tensorflow")
    if spec is None:
        raise ImportError("no tensorflow wheel is installed, hence no C API")
    folder, found = pathlib.Path(spec.submodule_search_locations[0]), {}
    for file, declared in _DECLARED.items():
        library = ctypes.CDLL(str(folder / file), mode=ctypes.RTLD_LOCAL)
        for name, (result, *arguments) in declared.items():
            found[name] = getattr(library, name)
            found[name].restype, found[name].argtypes = result, arguments
    return type("CApi", (), {name: staticmethod(function) for name, function in found.items()})


@contextlib.contextmanager
def status():
    """A `TF_Status` for the call in the block; raises `CApiError` if that failed."""
    api = functions()
    given = api.TF_NewStatus()
    try:
        yield given
        code = api.TF_GetCode(given)
        if code:
            raise CApiError(code, api.TF_Message(given).decode(errors="replace"))
    finally:
        api.TF_DeleteStatus(given)


def contents(buffer) -> bytes:
    """A copy of what a `TF_Buffer` holds."""
    return ctypes.string_at(buffer.contents.data, buffer.contents.length)


def to_tensor(array: np.ndarray):
    """A new `TF_Tensor` with the values of an array; object arrays hold bytes.

    Raises:
      TypeError: A dtype that tensors lack, or an object that is not bytes.
    """
    api, is_string = functions(), array.dtype == object
    if not is_string and array.dtype.name not in _NUMBERS:
        raise TypeError(f"dtype {array.dtype} is none of {sorted(_NUMBERS)}; strings are objects")
    values = array.ravel().tolist() if is_string else []
    others = {type(value).__name__ for value in values} - {"bytes"}
    if others:
        raise TypeError(f"a string tensor holds bytes, got {sorted(others)}")
    number = _NUMBERS["string" if is_string else array.dtype.name]
    size = _STRING_SIZE * array.size if is_string else array.nbytes
    tensor = api.TF_AllocateTensor(number, (_INT64 * array.ndim)(*array.shape), array.ndim, size)
    start = api.TF_TensorData(tensor)
    if not is_string:
        ctypes.memmove(start, np.ascontiguousarray(array).ctypes.data, size)
    for place, value in enumerate(values):
        api.TF_StringInit(start + place * _STRING_SIZE)
        api.TF_StringCopy(start + place * _STRING_SIZE, value, len(value))
    return tensor


def to_array(tensor) -> np.ndarray:
    """The values of a `TF_Tensor`, copied."""
    api = functions()
    name = _wire.TYPES[api.TF_TensorType(tensor)]
    shape = [api.TF_Dim(tensor, axis) for axis in range(api.TF_NumDims(tensor))]
    start = api.TF_TensorData(tensor)
    array = np.empty(shape, object if name == "string" else name)
    if name != "string":
        ctypes.memmove(array.ctypes.data, start, api.TF_TensorByteSize(tensor))
        return array
    for place in range(array.size):
        string = start + place * _STRING_SIZE
        data, size = api.TF_StringGetDataPointer(string), api.TF_StringGetSize(string)
        array.flat[place] = ctypes.string_at(data, size)
    return array
