"""The collectives of one training step, as two workers of a real cluster on this machine have them.

Run as a module it is one of the workers: it joins the others that TF_CONFIG names, trains a step
with each likelihood of the command line, and the chief prints what it found as JSON.
"""

import collections
import contextlib
import dataclasses
import inspect
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
NUM_WORKERS = 2
BATCH_SIZE = 8
SECONDS_TO_MEET = 60
SECONDS = 300
# What makes the groups in which collectives run, once; it carries nothing.
SETUP_OPS = ("CollectiveInitializeCommunicator", "CollectiveAssignGroupV2")


def in_graph(graph) -> list[str]:
    """The collectives of a graph and of what it calls, `"CollectiveReduceV2 3 float32"` ...

    Args:
      graph: A `tf.Graph`.

    Returns:
      Operation, number of elements and type of each, once for each time that it is called.
    """
    import tensorflow as tf

    definition = graph.as_graph_def(add_shapes=True)
    functions = {f.signature.name: f.node_def for f in definition.library.function}

    def found(nodes):
        for node in nodes:
            if node.op.startswith("Collective") and node.op not in SETUP_OPS:
                (shape,) = node.attr["_output_shapes"].list.shape
                dtype = tf.as_dtype(node.attr["T"].type).name
                yield f"{node.op} {tf.TensorShape(shape).num_elements()} {dtype}"
            for attribute in node.attr.values():
                called = [attribute.func] if attribute.HasField("func") else attribute.list.func
                for function in called:
                    yield from found(functions[function.name])

    return list(found(definition.node))


def of_training(model, batches, distribution) -> dict[str, list[str]]:
    """The collectives of `fit` at each step: of the step itself, and of what Keras adds.

    Args:
      model: Compiled model that was trained.
      batches: What `fit` takes.
      distribution: The strategy.
    """
    import tensorflow as tf

    iterator = iter(batches)
    # What Keras calls at each step is a Python function around the compiled one.
    around = inspect.getclosurevars(model.train_function).nonlocals
    if "multi_step_on_iterator" not in around:
        raise RuntimeError(f"this Keras wraps its compiled step differently: {sorted(around)}")
    whole = around["multi_step_on_iterator"].get_concrete_function(iterator).graph
    step = tf.function(lambda: distribution.run(model.train_step, args=(next(iterator),)))
    of_step = collections.Counter(in_graph(step.get_concrete_function().graph))
    added = collections.Counter(in_graph(whole)) - of_step
    return {"step": sorted(of_step.elements()), "logs": sorted(added.elements())}


def serve(likelihoods: list[str]) -> dict[str, dict]:
    """Joins the cluster and returns the collectives of `of_training`, by likelihood."""
    from benchmarks import _ours
    from tf_sigma_vae import build, training
    from tf_sigma_vae.training import batches, start

    distribution = start.connect("multi_worker", {}, SECONDS_TO_MEET, say=lambda text: None)
    found = {}
    for name in likelihoods:
        config = dataclasses.replace(
            _ours.config_of("float32", "", BATCH_SIZE, 1),
            dataset="synthetic",
            dataset_options={"image_size": 28, "num_train": BATCH_SIZE, "num_test": 1},
            likelihood=name,
        )
        splits = build.load_splits(config)
        images = splits.train
        with distribution.scope():
            model = training.compiled_model(config, build.image_shape(splits), num_steps=1)
        fed = batches.training(distribution, config, images, start_step=0)
        model.fit(fed, steps_per_epoch=1, verbose=0, shuffle=False)
        found[name] = of_training(model, fed, distribution)
    return found


def _free_addresses() -> list[str]:
    """Addresses of this machine where nobody listens now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(NUM_WORKERS)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]


def count(likelihoods: list[str]) -> dict[str, dict]:
    """Starts the workers and returns what the chief found; see `of_training`.

    Args:
      likelihoods: Their names.

    Raises:
      RuntimeError: If a worker fails.
      subprocess.TimeoutExpired: If they take too long.
    """
    addresses = _free_addresses()
    with contextlib.ExitStack() as stack:
        workers, logs = [], []
        for index in range(NUM_WORKERS):
            task = {"type": "worker", "index": index}
            cluster = json.dumps({"cluster": {"worker": addresses}, "task": task})
            log = stack.enter_context(tempfile.TemporaryFile("w+"))
            worker = subprocess.Popen(
                [sys.executable, "-m", "benchmarks._collectives", *likelihoods],
                cwd=ROOT,
                env={**os.environ, "TF_CONFIG": cluster, "CUDA_VISIBLE_DEVICES": "-1"},
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
            stack.enter_context(worker)
            stack.callback(worker.kill)
            workers.append(worker)
            logs.append(log)
        answer, _ = workers[0].communicate(timeout=SECONDS)
        if workers[0].returncode != 0:
            for log in logs:
                log.seek(0)
            said = "\n".join(log.read()[-3000:] for log in logs)
            raise RuntimeError(f"the workers stopped:\n{said}")
    return json.loads(answer.splitlines()[-1])


def main():
    """Takes the part of one worker."""
    found = serve(sys.argv[1:])
    if json.loads(os.environ["TF_CONFIG"])["task"]["index"] == 0:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
