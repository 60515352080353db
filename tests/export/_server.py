"""A test double of TensorFlow Serving: its gRPC services and REST routes, in a process of its own.

    python -m tests.export._server --base=FOLDER --name=MODEL

Models run in TensorFlow's C API, which is the server's session path; the TensorFlow package is not
loaded, hence neither are Keras and this package. Requests are not gathered into batches. It ends
with its standard input, hence with the process that started it.
"""

import argparse
import concurrent.futures
import http.server
import importlib.machinery
import json
import sys
import threading
import types

_ADDRESS = "127.0.0.1"
_NUM_THREADS = 8


def _load_protos_only():
    """Makes `tensorflow` a name for the generated protos alone, which the stubs import."""
    package = types.ModuleType("tensorflow")
    spec = importlib.machinery.PathFinder.find_spec("tensorflow")
    package.__path__ = list(spec.submodule_search_locations)
    sys.modules["tensorflow"] = package


def _serve(options):
    # Not before `tensorflow` is what `_load_protos_only` has made it.
    import grpc
    from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

    from tests.export import _rest_routes
    from tests.export._grpc_services import ModelService, PredictionService
    from tests.export._served_versions import ServedVersions

    served = ServedVersions(options.base, options.name, options.num_versions, options.max_rows)
    served.poll()
    server = grpc.server(
        concurrent.futures.ThreadPoolExecutor(_NUM_THREADS),
        options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)],
    )
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        PredictionService(served), server
    )
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelService(served), server)
    grpc_port = server.add_insecure_port(f"{_ADDRESS}:0")
    server.start()
    rest = http.server.ThreadingHTTPServer((_ADDRESS, 0), _rest_routes.handler(served))
    threading.Thread(target=rest.serve_forever, daemon=True).start()
    print(json.dumps({"grpc": grpc_port, "rest": rest.server_port}), flush=True)

    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    while not ended.wait(options.poll_seconds):
        served.poll()
    server.stop(grace=None)


def main():
    """Serves until standard input ends; prints `{"grpc": port, "rest": port}` when it does."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--base", required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--num_versions", type=int, default=1, help="how many are served at a time")
    parser.add_argument("--max_rows", type=int, default=None, help="of a request")
    parser.add_argument("--poll_seconds", type=float, default=0.1)
    _load_protos_only()
    _serve(parser.parse_args())


if __name__ == "__main__":
    main()
