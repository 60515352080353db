"""Workers that meet on this machine, each in a thread, and strangers on plain sockets."""

import contextlib
import json
import socket
import struct
import threading
from concurrent.futures import Future

from tf_sigma_vae.training.rendezvous import meet

FACTS = {"config": {"learning_rate": 0.1, "sizes": (3, 2)}, "version": "1"}
# What TensorFlow's server sends to whoever connects: an HTTP/2 frame of settings.
GRPC_GREETING = bytes.fromhex("000018040000000000000400400000000500400000")


def free_addresses(num_workers):
    """Addresses of this machine where nobody listens now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(num_workers)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]


def place(address):
    host, port = address.rsplit(":", 1)
    return host, int(port)


def start(addresses, index, facts=FACTS, seconds=10.0, **kwargs):
    """One worker in a thread of its own; the future has its result."""
    future = Future()

    def run():
        try:
            future.set_result(meet(addresses, index, facts, seconds, **kwargs))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


def outcomes(futures):
    """The error of each worker as text, None of one that met the others."""
    return [str(error) if (error := one.exception(timeout=15)) else None for one in futures]


def frame(message, version=1):
    body = message if isinstance(message, bytes) else json.dumps(message).encode()
    return struct.pack(">4sBI", b"SVAE", version, len(body)) + body


def hello(addresses, index, facts=FACTS, identity="one"):
    return {"index": index, "addresses": addresses, "facts": facts, "id": identity}


def connected(address):
    """A socket to an address, as soon as somebody listens there."""
    for _ in range(1000):
        with contextlib.suppress(ConnectionRefusedError):
            return socket.create_connection(place(address), timeout=3)
        threading.Event().wait(0.002)
    raise AssertionError(f"nobody listens at {address}")


def said(sock):
    """The next message that comes, or None at the end of the connection."""
    header = b""
    while len(header) < 9:
        data = sock.recv(9 - len(header))
        if not data:
            return None
        header += data
    length = struct.unpack(">4sBI", header)[2]
    body = b""
    while len(body) < length:
        body += sock.recv(length - len(body))
    return json.loads(body)


@contextlib.contextmanager
def served(address, handle):
    """Somebody else who listens at an address, and answers every connection by a function."""
    server = socket.create_server(place(address))
    kept = []

    def run():
        with contextlib.suppress(OSError):
            while True:
                kept.append(server.accept()[0])
                handle(kept[-1])

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield kept
    finally:
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
        for one in [server, *kept]:
            one.close()


def verdict(sock):
    """The first message that comes and is more than that the chief waits."""
    while (message := said(sock))["kind"] == "wait":
        pass
    return message
