"""Answers requests with SavedModels where what wrote them cannot be imported.

    python -m tests.export._isolated ROUTE FOLDER

ROUTE is `tensorflow` (TensorFlow's Python alone) or `c_api` (no Python TensorFlow either). FOLDER
holds `requests.pickle`, `{model: {request: (signature, inputs)}}`, and a SavedModel at `<model>`
for each. Writes `<ROUTE>.pickle`: `refused`, the imports that failed as they should, and
`answers`, `{model: {request: outputs}}`, where an error is `{"code": ..., "message": ...}`.
"""

import importlib
import pathlib
import pickle
import sys

_AUTHORS = ("keras", "tensorflow_probability", "tf_keras", "tf_sigma_vae")
_BLOCKED = {"tensorflow": _AUTHORS, "c_api": (*_AUTHORS, "tensorflow")}


class _Without:
    """A finder of modules to which some packages are not installed."""

    def __init__(self, finder, names):
        self.finder, self.names = finder, names

    def find_spec(self, fullname, path=None, target=None):
        if fullname.partition(".")[0] in self.names:
            return None
        return self.finder.find_spec(fullname, path, target)


def _refused(names):
    """Those of the packages that cannot be imported."""
    refused = []
    for name in names:
        try:
            importlib.import_module(name)
        except ImportError:
            refused.append(name)
    return refused


def _by_tensorflow(folder):
    import tensorflow as tf

    loaded = tf.saved_model.load(str(folder))

    def answer(signature, inputs):
        tensors = {name: tf.constant(value) for name, value in inputs.items()}
        try:
            outputs = loaded.signatures[signature](**tensors)
        except tf.errors.OpError as error:
            return {"code": error.error_code, "message": error.message}
        return {name: value.numpy() for name, value in outputs.items()}

    return answer


def _by_c_api(folder):
    from tests.export import _capi

    session = _capi.Session(str(folder))

    def answer(signature, inputs):
        try:
            return session.run(signature, inputs)
        except _capi.CApiError as error:
            return {"code": error.code, "message": error.message}

    return answer


def _main(route, folder):
    blocked = _BLOCKED[route]
    sys.meta_path[:] = [_Without(finder, blocked) for finder in sys.meta_path]
    refused = _refused(blocked)
    load = {"tensorflow": _by_tensorflow, "c_api": _by_c_api}[route]
    requests, answers = pickle.loads((folder / "requests.pickle").read_bytes()), {}
    for model, of_model in requests.items():
        answer = load(folder / model)
        answers[model] = {name: answer(*request) for name, request in of_model.items()}
    found = {"refused": refused, "answers": answers}
    (folder / f"{route}.pickle").write_bytes(pickle.dumps(found))


if __name__ == "__main__":
    _main(sys.argv[1], pathlib.Path(sys.argv[2]))
