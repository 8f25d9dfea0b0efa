"""The network as a graph of its layers, for TensorBoard."""

from typing import Any

import torch
from tensorboard.compat.proto.attr_value_pb2 import AttrValue
from tensorboard.compat.proto.graph_pb2 import GraphDef
from tensorboard.compat.proto.node_def_pb2 import NodeDef
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from torch import Tensor, fx, nn

from dlrun.training.evaluation import evaluating


def graph_of(model: nn.Module, images: Tensor) -> GraphDef:
    """Layers and operations as nodes with the shapes of their outputs; nothing is left changed.

    torch.jit.trace, which PyTorch's own writer uses, is deprecated and takes a second the first time.

    Args:
        images: What the network takes, float (N, C, H, W).

    Raises:
        Exception: Whatever `torch.fx` raises for a network whose path depends on its values.
    """
    with evaluating(model), torch.no_grad():
        traced = fx.GraphModule(model, _Tracer().trace(model))
        recorded = _Recorder(traced)
        recorded.run(images)
    names = {node: _name(node) for node in traced.graph.nodes}
    return GraphDef(node=[_node(node, names, recorded.shapes.get(node)) for node in traced.graph.nodes])


class _Tracer(fx.Tracer):
    """Stops at layers that are made of no others."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return super().is_leaf_module(m, module_qualified_name) or next(m.children(), None) is None


class _Recorder(fx.Interpreter):
    """Runs the graph and notes the shapes."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.shapes: dict[fx.Node, tuple[int, ...]] = {}

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if isinstance(result, Tensor):
            self.shapes[n] = tuple(result.shape)
        return result


def _name(node: fx.Node) -> str:
    """Modules by their place (`5/conv1`), so that TensorBoard folds blocks; each use has its own name."""
    if node.op != "call_module":
        return node.name
    path = str(node.target).replace(".", "/")
    return path if node.name.strip("_") == path.replace("/", "_").strip("_") else f"{path}/{node.name}"


def _node(node: fx.Node, names: dict[fx.Node, str], shape: tuple[int, ...] | None) -> NodeDef:
    attributes = {}
    if shape is not None:
        size = TensorShapeProto(dim=[TensorShapeProto.Dim(size=length) for length in shape])
        attributes["_output_shapes"] = AttrValue(list=AttrValue.ListValue(shape=[size]))
    module = _module(node)
    if module is not None:
        attributes["parameters"] = AttrValue(i=sum(p.numel() for p in module.parameters()))
        attributes["layer"] = AttrValue(s=repr(module).encode())
    inputs = [names[one] for one in node.all_input_nodes]
    return NodeDef(name=names[node], op=_operation(node, module), input=inputs, attr=attributes)


def _module(node: fx.Node) -> nn.Module | None:
    if node.op != "call_module":
        return None
    return node.graph.owning_module.get_submodule(str(node.target))  # type: ignore[union-attr]


def _operation(node: fx.Node, module: nn.Module | None) -> str:
    if module is not None:
        return type(module).__name__
    return getattr(node.target, "__name__", str(node.target)) if node.op == "call_function" else str(node.op)
