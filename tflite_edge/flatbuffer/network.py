"""A float model as numbers that can be changed: kernels and biases as arrays, and who computes what from what."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tflite_edge.flatbuffer import schema
from tflite_edge.flatbuffer.edit import Node, add_buffer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[Any]

# operator -> axes of its kernel: (output channels, input channels). A depthwise kernel is [1, h, w, out].
KERNELS: dict[str, tuple[int, int]] = {"CONV_2D": (0, 3), "DEPTHWISE_CONV_2D": (3, 3), "FULLY_CONNECTED": (0, 1)}
NONE, RELU, RELU6 = 0, 1, 3  # schema.fbs, ActivationFunctionType
FLOAT32 = 0  # schema.fbs, TensorType


@dataclass(frozen=True, eq=False)
class Op:
    """One operator; inputs and outputs are tensor numbers, -1 for an optional input that is not given."""

    index: int
    name: str
    outputs: tuple[int, ...]
    node: Node

    @property
    def inputs(self) -> tuple[int, ...]:
        """As they stand in the tree: `store_bias` changes them."""
        return _ints(self.node.get("inputs", b""))

    @property
    def activation(self) -> int:
        """Of ActivationFunctionType; NONE where the operator has no options for one."""
        options = self.node.get("builtin_options")
        return int(options.get("fused_activation_function", NONE)) if options else NONE


class Network:
    """The first subgraph of a tree of `edit.load`, which is changed in place."""

    def __init__(self, tree: Node) -> None:
        self.tree = tree
        graph = tree["subgraphs"][0]
        self.tensors: list[Node] = graph["tensors"]
        self.inputs, self.outputs = _ints(graph.get("inputs", b"")), _ints(graph.get("outputs", b""))
        names = [_name(code) for code in tree["operator_codes"]]
        self.ops = [
            Op(
                index,
                names[node.get("opcode_index", 0)],
                _ints(node.get("outputs", b"")),
                node,
            )
            for index, node in enumerate(graph["operators"])
        ]

    def name(self, tensor: int) -> str:
        return bytes(self.tensors[tensor].get("name", b"")).decode(errors="replace")

    def shape(self, tensor: int) -> tuple[int, ...]:
        return _ints(self.tensors[tensor].get("shape", b""))

    def consumers(self, tensor: int) -> list[Op]:
        return [op for op in self.ops if tensor in op.inputs]

    def producer(self, tensor: int) -> Op | None:
        return next((op for op in self.ops if tensor in op.outputs), None)

    def computed(self) -> tuple[int, ...]:
        """Float tensors that differ from sample to sample: the inputs, and what operators make of them."""
        live = set(self.inputs)
        for op in self.ops:
            if live & set(op.inputs):
                live |= set(op.outputs)
        return tuple(sorted(index for index in live if self.tensors[index].get("type", FLOAT32) == FLOAT32))

    def constant(self, tensor: int) -> Floats | None:
        """float32 [...]: a copy of a dense float constant; None for anything else."""
        import numpy as np

        if tensor < 0:
            return None
        node = self.tensors[tensor]
        data = self.tree["buffers"][node.get("buffer", 0)].get("data")
        if not data or node.get("type", FLOAT32) != FLOAT32 or "sparsity" in node.fields:
            return None
        return np.frombuffer(data, "<f4").reshape(self.shape(tensor)).copy()

    def kernel(self, op: Op) -> Floats | None:
        """The kernel of a layer in KERNELS that nothing else uses, else None."""
        if op.name not in KERNELS or len(self.consumers(op.inputs[1])) != 1:
            return None
        return self.constant(op.inputs[1])

    def bias(self, op: Op) -> Floats | None:
        """float32 [out] of a layer in KERNELS, None where it has none of its own."""
        if op.name not in KERNELS or len(op.inputs) < 3:
            return None
        return self.constant(op.inputs[2])

    def store(self, tensor: int, values: Floats) -> None:
        """New values for a constant. Tensors that shared its buffer keep the old ones."""
        self.tensors[tensor]["buffer"] = add_buffer(self.tree, values.astype("<f4").tobytes())

    def store_bias(self, op: Op, values: Floats) -> None:
        """A bias of the layer's own: equal biases of several layers may be one tensor."""
        if len(self.consumers(op.inputs[2])) > 1:
            copy = Node("Tensor", dict(self.tensors[op.inputs[2]].fields))
            self.tensors.append(copy)
            inputs = (*op.inputs[:2], len(self.tensors) - 1)
            op.node["inputs"] = struct.pack(f"<{len(inputs)}i", *inputs)
            self.store(inputs[2], values)
        else:
            self.store(op.inputs[2], values)

    def calibrate(self, ends: Mapping[int, tuple[float, float]]) -> None:
        """Write (least, greatest) of computed tensors where TensorFlow's quantiser looks for them."""
        for tensor, (low, high) in ends.items():
            self.tensors[tensor]["quantization"] = Node(
                "QuantizationParameters", {"min": struct.pack("<f", low), "max": struct.pack("<f", high)}
            )


def _ints(data: bytes) -> tuple[int, ...]:
    return struct.unpack(f"<{len(data) // 4}i", data)


def _name(code: Node) -> str:
    # Numbers above 126 do not fit the old int8 field, which then holds 127 (schema.fbs, OperatorCode).
    return schema.operator_name(max(code.get("deprecated_builtin_code", 0), code.get("builtin_code", 0)))
