"""A SavedModel loaded and run through TensorFlow's C API, which is what TensorFlow Serving does.

Options are a plain server's: no special configuration, no compilation by XLA.
"""

import ctypes
import threading

import numpy as np

from tests.export import _clib, _wire
from tests.export._clib import CApiError
from tests.export._wire import Signature, TensorInfo

__all__ = [
    "FAILED_PRECONDITION",
    "INVALID_ARGUMENT",
    "CApiError",
    "Session",
    "Signature",
    "TensorInfo",
    "op_list",
]

INVALID_ARGUMENT, FAILED_PRECONDITION = 3, 9


class _XlaDisabled:
    """Counts the open sessions: XLA is off in the whole process while there is one."""

    def __init__(self):
        self._lock, self._count = threading.Lock(), 0

    def change(self, by: int):
        with self._lock:
            self._count += by
            which = "21Disable" if self._count else "20Enable"
            getattr(_clib.functions(), f"_ZN10tensorflow{which}XlaCompilationEv")()


_XLA = _XlaDisabled()


class Session:
    """A SavedModel loaded through TensorFlow's C API, without Python TensorFlow.

    While one is open, XLA compilation is disabled in this process, for everything in it.

    Args:
      folder: The SavedModel; its meta graph with the tag "serve" is loaded.

    Attributes:
      signatures: What it serves, `{name: Signature}`.
      meta_graph: The serialized `MetaGraphDef`.

    Raises:
      CApiError: TensorFlow cannot load it.
    """

    def __init__(self, folder: str):
        api = _clib.functions()
        self._idle, self._running, self._session = threading.Condition(), 0, None
        self._graph = api.TF_NewGraph()
        _XLA.change(1)
        options, buffer = api.TF_NewSessionOptions(), api.TF_NewBuffer()
        tags = (ctypes.c_char_p * 1)(b"serve")
        try:
            with _clib.status() as status:
                self._session = api.TF_LoadSessionFromSavedModel(
                    *(options, None, str(folder).encode(), tags, 1),
                    *(self._graph, buffer, status),
                )
            self.meta_graph = _clib.contents(buffer)
        except BaseException:
            self.close()
            raise
        finally:
            api.TF_DeleteBuffer(buffer)
            api.TF_DeleteSessionOptions(options)
        self.signatures = _wire.signatures(self.meta_graph)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def run(self, signature: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Runs a signature; many threads may, at once.

        Names are checked as the server does, dtypes by TensorFlow, shapes by the graph alone.

        Args:
          signature: Name of the signature.
          inputs: Arrays by name; strings are object arrays of bytes.

        Returns:
          Arrays by name.

        Raises:
          CApiError: Unknown signature (FAILED_PRECONDITION), names that are not exactly the
            inputs' (INVALID_ARGUMENT), and whatever TensorFlow says while it runs.
        """
        if signature not in self.signatures:
            known = f"Serving signature key {signature!r} not found; has {sorted(self.signatures)}"
            raise CApiError(FAILED_PRECONDITION, known)
        wanted, given = self.signatures[signature], set(inputs)
        missing, extra = set(wanted.inputs) - given, given - set(wanted.inputs)
        if missing or extra:
            text = f"input names do not match: extra {sorted(extra)}, missing {sorted(missing)}"
            raise CApiError(INVALID_ARGUMENT, text)
        with self._idle:
            session = self._session
            if session is None:
                raise CApiError(FAILED_PRECONDITION, "the session is closed")
            self._running += 1
        try:
            feeds = {wanted.inputs[name].name: value for name, value in inputs.items()}
            values = self._run(session, feeds, wanted.outputs.values())
            return dict(zip(wanted.outputs, values, strict=True))
        finally:
            with self._idle:
                self._running -= 1
                self._idle.notify_all()

    def _run(self, session, feeds, outputs):
        api, tensors = _clib.functions(), []
        fetched = (_clib.POINTER * len(outputs))()
        try:
            tensors.extend(_clib.to_tensor(np.asarray(value)) for value in feeds.values())
            fed = (_clib.POINTER * len(tensors))(*tensors)
            with _clib.status() as status:
                api.TF_SessionRun(
                    *(session, None, self._places(feeds), fed, len(feeds)),
                    *(self._places(info.name for info in outputs), fetched, len(fetched)),
                    *(None, 0, None, status),
                )
            return [_clib.to_array(tensor) for tensor in fetched]
        finally:
            for tensor in (*tensors, *filter(None, fetched)):
                api.TF_DeleteTensor(tensor)

    def _places(self, names):
        """The outputs of operations ("node:0") as an array of `TF_Output`."""
        places = []
        for name in names:
            node, _, index = name.partition(":")
            operation = _clib.functions().TF_GraphOperationByName(self._graph, node.encode())
            if not operation:
                raise CApiError(INVALID_ARGUMENT, f"the graph has no node {node!r}")
            places.append(_clib.Output(operation, int(index or 0)))
        return (_clib.Output * len(places))(*places)

    def close(self):
        """Refuses new calls, waits for the running ones and frees everything.

        A second time does nothing.
        """
        with self._idle:
            session, self._session = self._session, None
            self._idle.wait_for(lambda: not self._running)
            graph, self._graph = self._graph, None
        if graph is None:
            return
        api = _clib.functions()
        if session is not None:
            with _clib.status() as status:
                api.TF_CloseSession(session, status)
            with _clib.status() as status:
                api.TF_DeleteSession(session, status)
        api.TF_DeleteGraph(graph)
        _XLA.change(-1)


def op_list() -> dict[str, bool]:
    """The operations registered in the library, which a plain server knows: has it state?"""
    api = _clib.functions()
    buffer = api.TF_GetAllOpList()
    try:
        return _wire.op_list(_clib.contents(buffer))
    finally:
        api.TF_DeleteBuffer(buffer)
