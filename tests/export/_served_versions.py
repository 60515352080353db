"""The versions below a folder, loaded and dropped as TensorFlow Serving does."""

import contextlib
import pathlib
import re
import struct
import threading

from tensorflow_serving.apis import prediction_log_pb2

from tests.export import _tensor_protos
from tests.export._capi import CApiError, Session

OK, INVALID_ARGUMENT, NOT_FOUND = 0, 3, 5
"""Codes of `CApiError`, which is how everything here refuses."""

WARMUP_FILE = "assets.extra/tf_serving_warmup_requests"


class _Loaded:
    """A session, and how many requests are in it."""

    def __init__(self, session):
        self.session, self.num_running = session, 0


class ServedVersions:
    """Serves the newest versions of a model, and looks for newer ones.

    A new version is loaded, and its warm-up requests answered, before an older one is dropped; a
    dropped one ends when its last request has. A version that fails to load is not tried again.

    Args:
      base: Every child of which the whole name is an integer is a version, files included.
      name: Of the model.
      num_versions: How many of the newest are served.
      max_rows: Of a request, as with batching on; None for any number.
    """

    def __init__(self, base, name: str, num_versions: int = 1, max_rows: int | None = None):
        self._base, self.name = pathlib.Path(base), name
        self._num_versions, self._max_rows = num_versions, max_rows
        self._idle = threading.Condition()
        self._loaded: dict[int, _Loaded] = {}
        self._states: dict[int, tuple[str, int, str]] = {}

    def poll(self):
        """Looks at the folder once; called by one thread only."""
        names = [path.name for path in self._base.iterdir()]
        versions = sorted(int(name) for name in names if re.fullmatch(r"\d+", name))
        wanted = versions[-self._num_versions :]
        for version in wanted:
            if version not in self._states:
                self._load(version)
        # The old one stays until one of the wanted answers.
        if any(version in self._loaded for version in wanted):
            for version in sorted(set(self._loaded) - set(wanted)):
                self._drop(version)

    @contextlib.contextmanager
    def session(self, name: str, version: int | None = None):
        """Yields `(session, version)`, which is not dropped before the end of the block.

        Raises:
          CApiError: NOT_FOUND.
        """
        with self._idle:
            found = max(self._loaded, default=None) if version is None else version
            if name != self.name or found not in self._loaded:
                which = "Latest" if version is None else f"Specific {version}"
                message = f"Servable not found for request: {which}({name})"
                raise CApiError(NOT_FOUND, message)
            loaded = self._loaded[found]
            loaded.num_running += 1
        try:
            yield loaded.session, found
        finally:
            with self._idle:
                loaded.num_running -= 1
                self._idle.notify_all()

    def check_rows(self, inputs):
        """Raises `CApiError`, INVALID_ARGUMENT, for a request with too many rows."""
        for name, array in inputs.items():
            if self._max_rows is not None and array.ndim and len(array) > self._max_rows:
                message = f"Task size {len(array)} ({name}) is larger than {self._max_rows}"
                raise CApiError(INVALID_ARGUMENT, message)

    def states(self, name: str, version: int | None = None):
        """`{version: (state, code, message)}`.

        Raises:
          CApiError: NOT_FOUND.
        """
        with self._idle:
            states = dict(self._states) if name == self.name else {}
        if version is not None:
            states = {key: state for key, state in states.items() if key == version}
        if not states:
            message = f"Could not find any versions of model {name} ({version})"
            raise CApiError(NOT_FOUND, message)
        return states

    def _load(self, version):
        self._states[version] = ("LOADING", OK, "")
        folder = self._base / str(version)
        try:
            session = Session(str(folder))
            _warm_up(session, folder / WARMUP_FILE)
        except CApiError as error:
            with self._idle:
                self._states[version] = ("END", error.code, error.message)
            return
        with self._idle:
            self._loaded[version] = _Loaded(session)
            self._states[version] = ("AVAILABLE", OK, "")

    def _drop(self, version):
        with self._idle:
            self._states[version] = ("UNLOADING", OK, "")
            loaded = self._loaded.pop(version)
            self._idle.wait_for(lambda: not loaded.num_running)
        loaded.session.close()
        with self._idle:
            self._states[version] = ("END", OK, "")


def _warm_up(session, path):
    if not path.exists():
        return
    for record in _records(path.read_bytes()):
        log = prediction_log_pb2.PredictionLog.FromString(record)
        request = log.predict_log.request
        session.run(request.model_spec.signature_name, _tensor_protos.to_arrays(request.inputs))


def _records(data: bytes):
    """The records of a TFRecord file: length, its checksum, content, its checksum."""
    position = 0
    while position < len(data):
        (size,) = struct.unpack_from("<Q", data, position)
        yield data[position + 12 : position + 12 + size]
        position += 12 + size + 4
