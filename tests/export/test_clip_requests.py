"""What the client makes of requests for a model of videos; its signatures are made up here."""

import re

import numpy as np
import pytest

from tf_sigma_vae.export import client as client_module
from tf_sigma_vae.export._transport import Metadata, Signature, TensorInfo
from tf_sigma_vae.export.client import Client

FRAME, CONTEXT = (4, 6, 3), 2
CLIPS = TensorInfo("float32", (None, None, *FRAME))
SEED = TensorInfo("int32", (None, 2))
ROW = {"row": TensorInfo("float32", (None,))}
SIGNATURES = {
    "encode": Signature({"clips": CLIPS}, ROW),
    "anomaly": Signature({"clips": CLIPS}, ROW),
    "elbo": Signature({"clips": CLIPS, "seed": SEED}, ROW),
    "predict": Signature(
        {"context": TensorInfo("float32", (None, CONTEXT, *FRAME)), "seed": SEED}, ROW
    ),
}
X = np.linspace(0, 1, 3 * 5 * 72, dtype=np.float32).reshape(3, 5, *FRAME)
SEEDS = [[0, 1], [2, 3], [4, 5]]


class FakeTransport:
    """Answers with the names and shapes of what it was sent."""

    address, names_version = "fake", True

    def __init__(self):
        self.sent = []

    def predict(self, name, version, signature_name, signature, inputs, deadline):
        shapes = {key: array.shape for key, array in inputs.items()}
        self.sent.append((signature_name, shapes))
        return {"row": np.zeros(len(next(iter(inputs.values()))), np.float32)}, 1

    def metadata(self, name, version, deadline):
        return Metadata(1, SIGNATURES)


@pytest.fixture
def transport(monkeypatch):
    fake = FakeTransport()
    monkeypatch.setattr(client_module, "GrpcTransport", lambda address: fake)
    return fake


@pytest.fixture
def client(transport):
    return Client("fake", "m", max_batch_size=2)


def test_methods_send_clips_where_the_signature_takes_clips(client, transport):
    for call in (client.encode, client.anomaly):
        assert call(X)["row"].shape == (3,)
    client.elbo(X[:1], SEEDS[:1])
    client.rollout(X[:1, :CONTEXT], SEEDS[:1])
    clips = [{"clips": (n, 5, *FRAME)} for n in (2, 1)]
    assert transport.sent == [
        *(("encode", rows) for rows in clips),
        *(("anomaly", rows) for rows in clips),
        ("elbo", {"clips": (1, 5, *FRAME), "seed": (1, 2)}),
        ("predict", {"context": (1, CONTEXT, *FRAME), "seed": (1, 2)}),
    ]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda c: c.encode(X[0]), "[B, T, 4, 6, 3], got [5, 4, 6, 3]: one example is a batch of"),
        (lambda c: c.encode(X[..., :1]), "clips must have the shape [B, T, 4, 6, 3], got [3, 5,"),
        (lambda c: c.rollout(X, SEEDS), "context must have the shape [B, 2, 4, 6, 3], got [3, 5,"),
        (lambda c: c.anomaly(2 * X), "clips must be in [0, 1], but row 1 has 1."),
        (lambda c: c.rollout(-X[:, :2], SEEDS), "context must be in [0, 1], but row 0 has -0."),
        (lambda c: c.elbo(X * np.nan, SEEDS), "clips must be finite, but row 0 has nan"),
        (lambda c: c.encode(np.uint8(255 * X)), "uint8: divide grey levels by 255"),
        (lambda c: c.elbo(X, SEEDS[:2]), "equally many rows, got {'clips': 3, 'seed': 2}"),
        (lambda c: c.predict("encode", {"images": X}), "unknown input 'images'"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(client, transport, call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call(client)
    assert transport.sent == []


def test_the_range_is_an_option(transport):
    Client("fake", "m", value_range=None).encode(3 * X)
    assert len(transport.sent) == 1
