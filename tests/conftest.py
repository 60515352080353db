"""What every test starts from: a quiet TensorFlow, no network, no state left by another test."""

import inspect
import os
import pathlib
import socket
import sys

import pytest

# Read when TensorFlow and matplotlib are first imported, hence before any test module is.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("MPLBACKEND", "Agg")

# Files that take a minute or more, most of it waiting for processes of their own.
_LONG = (
    "multi_worker/test_training",
    "conformance/test_replicas",
    "tests/test_replicas",
    "export/test_isolated",
    "training/test_preemption",
)
# What oneDNN may be held down to, on a processor that has more.
_WITHOUT_BFLOAT16 = ("SSE41", "AVX", "AVX2", "AVX2_VNNI")
_LOOPBACK = ("127.", "::1", "localhost", "0.0.0.0")


def pytest_collection_modifyitems(items):
    """Puts the longest files first: begun last, one would run alone beside an idle process."""
    items.sort(key=lambda item: not any(name in str(item.path) for name in _LONG))
    if os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper() not in _WITHOUT_BFLOAT16:
        return
    # TensorFlow asks the processor whether it may give bfloat16 to oneDNN, which then has no kernel
    # for it: a segmentation fault, also of one matrix product. Without AVX-512 it does not ask.
    reason = "bfloat16 crashes in TensorFlow where ONEDNN_MAX_CPU_ISA is below what the CPU has"
    for item in items:
        is_said = "bfloat16" in item.nodeid + inspect.getsource(item.function)
        if is_said or item.get_closest_marker("bfloat16"):
            item.add_marker(pytest.mark.skip(reason))


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Makes a connection that would leave this machine an error instead of a hang."""
    connect = socket.socket.connect

    def connect_locally(self, address):
        outside = self.family in (socket.AF_INET, socket.AF_INET6)
        if outside and not str(address[0]).startswith(_LOOPBACK):
            raise OSError(f"a test tried to reach {address}: tests never use the network")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect_locally)


@pytest.fixture(autouse=True)
def cache_folder(monkeypatch, tmp_path_factory):
    """Keeps what the package caches out of the home of whoever runs the tests."""
    monkeypatch.setenv("TF_SIGMA_VAE_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(autouse=True)
def default_dtype_policy():
    """Restores the one global of Keras that tests set, so that their order does not matter.

    Keras is looked up and not imported: tests that do not need it stay fast.
    """
    yield
    keras = sys.modules.get("keras")
    if keras is not None and keras.config.dtype_policy().name != "float32":
        keras.config.set_dtype_policy("float32")


@pytest.fixture(scope="session")
def repository_root():
    """The root of the clone that holds these tests."""
    return pathlib.Path(__file__).resolve().parent.parent
