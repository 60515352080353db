"""What a plain TensorFlow Server must find in a SavedModel, and what it must not, node by node."""

import pathlib

from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

from tests.export import _capi

# What has state and may be there: variables read, restored and saved, and checks that can fail.
STATEFUL = {
    *("VarHandleOp", "ReadVariableOp", "AssignVariableOp", "DisableCopyOnRead"),
    *("RestoreV2", "SaveV2", "MergeV2Checkpoints", "Assert"),
}
# Control flow and calls count as stateful because of what they call, which is looked at too.
CALLS = {"StatefulPartitionedCall", "PartitionedCall"}
CONTROL_FLOW = {"If", "While"}
PYTHON = {"PyFunc", "PyFuncStateless", "EagerPyFunc"}
XLA = ("_XlaMustCompile", "_XlaCompile")
PREDICT = "tensorflow/serving/predict"


def read(folder) -> meta_graph_pb2.MetaGraphDef:
    """The only meta graph of a SavedModel."""
    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString((pathlib.Path(folder) / "saved_model.pb").read_bytes())
    (meta_graph,) = saved.meta_graphs
    return meta_graph


def write(meta_graph: meta_graph_pb2.MetaGraphDef, folder) -> None:
    """Replaces the meta graph of a SavedModel."""
    saved = saved_model_pb2.SavedModel(saved_model_schema_version=1, meta_graphs=[meta_graph])
    (pathlib.Path(folder) / "saved_model.pb").write_bytes(saved.SerializeToString())


def table(meta_graph) -> dict:
    """`{signature: (inputs, outputs)}`, each `{name: (dtype, shape)}`, -1 for an unknown size."""
    return {
        name: (_tensors(signature.inputs), _tensors(signature.outputs))
        for name, signature in meta_graph.signature_def.items()
        if signature.method_name == PREDICT
    }


def _tensors(infos):
    return {
        name: (
            types_pb2.DataType.Name(info.dtype).removeprefix("DT_").lower(),
            tuple(dim.size for dim in info.tensor_shape.dim),
        )
        for name, info in infos.items()
    }


def problems(meta_graph) -> set[str]:
    """What a server would refuse, or answer at random, or for any shape; empty if all is well."""
    registered = _capi.op_list()
    found = set()
    for function, nodes, attributes in _graphs(meta_graph):
        for where, attr in (("function", attributes), *((node.op, node.attr) for node in nodes)):
            compiled = [key for key in XLA if key in attr and attr[key].b]
            found |= {f"{key}: {where} in {function}" for key in compiled}
        for op in {node.op for node in nodes}:
            if op in PYTHON:
                found.add(f"Python: {op} in {function}")
            elif op not in registered:
                found.add(f"not registered: {op} in {function}")
            elif registered[op] and op not in STATEFUL | CALLS | CONTROL_FLOW:
                found.add(f"state: {op} in {function}")
    return found | _unchecked_inputs(meta_graph) | _fixed_batches(meta_graph)


def _graphs(meta_graph):
    """Name, nodes and attributes of the graph and of every function that it holds."""
    yield "graph", meta_graph.graph_def.node, {}
    for function in meta_graph.graph_def.library.function:
        yield function.signature.name, function.node_def, function.attr


def _fixed_batches(meta_graph):
    """Inputs and outputs without an unknown first dimension."""
    return {
        f"first dimension: {name} of {signature}"
        for signature, sides in table(meta_graph).items()
        for side in sides
        for name, (_, shape) in side.items()
        if not shape or shape[0] != -1
    }


def _unchecked_inputs(meta_graph):
    """Inputs that something other than a check of their shape reads first."""
    functions = {f.signature.name: f for f in meta_graph.graph_def.library.function}
    found = set()
    for signature, (inputs, _) in table(meta_graph).items():
        for name, (_, shape) in inputs.items():
            tensor = meta_graph.signature_def[signature].inputs[name].name
            readers = list(_first_readers(meta_graph.graph_def.node, tensor, functions))
            for node in readers:
                checked = tuple(dim.size for dim in node.attr["shape"].shape.dim)
                if node.op != "EnsureShape" or checked != shape:
                    found.add(f"shape: {node.op} reads {name} of {signature}")
            if not readers:
                found.add(f"shape: nothing reads {name} of {signature}")
    return found


def _first_readers(nodes, tensor, functions):
    """The operations that read a tensor, looked for in the functions it is handed to."""
    for node in nodes:
        for place, given in enumerate(node.input):
            if given.removesuffix(":0") != tensor.removesuffix(":0"):
                continue
            if node.op not in CALLS:
                yield node
                continue
            called = functions[node.attr["f"].func.name]
            argument = called.signature.input_arg[place].name
            yield from _first_readers(called.node_def, argument, functions)
