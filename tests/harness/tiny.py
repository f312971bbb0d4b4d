"""Single-operator .tflite models of a few hundred bytes, built by hand: no TensorFlow, no interpreter.

Every builder returns the file's bytes. The numbers are chosen so that outputs are easy to work out.
"""

from __future__ import annotations

import importlib.util
import struct
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np


def _schema() -> Any:
    """The generated schema by its path: importing ai_edge_litert would load the runtime into this process."""
    package = importlib.util.find_spec("ai_edge_litert")
    assert package is not None
    assert package.submodule_search_locations
    path = Path(package.submodule_search_locations[0]) / "schema_py_generated.py"
    spec = importlib.util.spec_from_file_location("tiny_tflite_schema", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tfl = _schema()
TYPES = {"float32": tfl.TensorType.FLOAT32, "int8": tfl.TensorType.INT8, "int32": tfl.TensorType.INT32}

# [K, C]: three scores of four values, so that inputs pick a class: class k answers to value k.
WEIGHTS = np.array([[1, 0, 0, 0.5], [0, 1, 0, 0.25], [0, 0, 1, 0]], np.float32)
BIAS = np.array([0, 0, 0.125], np.float32)
INPUT_SCALE, INPUT_ZERO = 1 / 64, -64
WEIGHT_SCALE = 1 / 64
OUTPUT_SCALE, OUTPUT_ZERO = 1 / 16, -10


class _Graph:
    """One subgraph under construction: tensors are known by their number."""

    def __init__(self) -> None:
        self.tensors: list[Any] = []
        self.buffers: list[Any] = [tfl.BufferT()]  # buffer 0 is the empty one
        self.codes: list[Any] = []
        self.nodes: list[Any] = []

    def tensor(self, shape, dtype="float32", *, data=None, scale=None, zero=0, name=None) -> int:
        made = tfl.TensorT()
        made.name = (f"t{len(self.tensors)}" if name is None else name).encode()
        made.shape, made.type, made.buffer = list(shape), TYPES[dtype], 0
        if data is not None:
            buffer = tfl.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(data, dtype).tobytes(), np.uint8)
            self.buffers.append(buffer)
            made.buffer = len(self.buffers) - 1
        if scale is not None:
            made.quantization = tfl.QuantizationParametersT()
            made.quantization.scale, made.quantization.zeroPoint = [scale], [zero]
        self.tensors.append(made)
        return len(self.tensors) - 1

    def node(self, operator: str, inputs, outputs, *, constants=(), options=None, version=1) -> Any:
        """Add one operator; its options, a table of defaults, are returned."""
        code = tfl.OperatorCodeT()
        code.builtinCode = getattr(tfl.BuiltinOperator, operator)
        code.deprecatedBuiltinCode, code.version = min(code.builtinCode, 127), version
        node = tfl.OperatorT()
        node.opcodeIndex = len(self.codes)
        node.inputs, node.outputs = [*inputs, *constants], list(outputs)
        if options is not None:
            node.builtinOptions = getattr(tfl, options + "T")()
            node.builtinOptionsType = getattr(tfl.BuiltinOptions, options)
        self.codes.append(code)
        self.nodes.append(node)
        return node.builtinOptions

    def finish(self, operator: str, inputs, outputs, **about) -> bytes:
        """The file with this as its last operator."""
        self.node(operator, inputs, outputs, **about)
        return self.pack(inputs, outputs)

    def pack(self, inputs, outputs) -> bytes:
        graph = tfl.SubGraphT()
        graph.name, graph.tensors, graph.operators = b"main", self.tensors, self.nodes
        graph.inputs, graph.outputs = list(inputs), list(outputs)
        model = tfl.ModelT()
        model.version, model.description = 3, b"tiny"
        model.operatorCodes, model.subgraphs, model.buffers = self.codes, [graph], self.buffers
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())


def dense() -> bytes:
    """float32 [1, 4] -> [1, 3]: x @ WEIGHTS.T + BIAS."""
    graph = _Graph()
    x = graph.tensor([1, 4])
    constants = [graph.tensor(WEIGHTS.shape, data=WEIGHTS), graph.tensor(BIAS.shape, data=BIAS)]
    y = graph.tensor([1, 3])
    return graph.finish("FULLY_CONNECTED", [x], [y], constants=constants, options="FullyConnectedOptions")


def dense_int8() -> bytes:
    """int8 [1, 4] -> [1, 3]: the same layer, with scales and zero points of its own at either end."""
    graph = _Graph()
    x = graph.tensor([1, 4], "int8", scale=INPUT_SCALE, zero=INPUT_ZERO)
    weights = graph.tensor(WEIGHTS.shape, "int8", data=np.rint(WEIGHTS / WEIGHT_SCALE), scale=WEIGHT_SCALE)
    accumulator = INPUT_SCALE * WEIGHT_SCALE
    bias = graph.tensor(BIAS.shape, "int32", data=np.rint(BIAS / accumulator), scale=accumulator)
    y = graph.tensor([1, 3], "int8", scale=OUTPUT_SCALE, zero=OUTPUT_ZERO)
    constants = [weights, bias]
    return graph.finish("FULLY_CONNECTED", [x], [y], constants=constants, options="FullyConnectedOptions", version=4)


def unary(operator: str = "RELU", shape=(1, 2, 2, 3), *, version: int = 1) -> bytes:
    """float32 of one shape -> the same shape: RELU, LOG, SQRT, ..."""
    graph = _Graph()
    x, y = graph.tensor(shape), graph.tensor(shape)
    return graph.finish(operator, [x], [y], version=version)


def add() -> bytes:
    """Two float32 inputs [1, 2] -> their sum."""
    graph = _Graph()
    a, b, y = graph.tensor([1, 2]), graph.tensor([1, 2]), graph.tensor([1, 2])
    return graph.finish("ADD", [a, b], [y], options="AddOptions")


def wild_offset(model: bytes) -> bytes:
    """The model with its first offset flipped to point far outside: tflite-runtime 2.14 follows it (SIGSEGV)."""
    return struct.pack("<I", 0x7FFFFFF0) + model[4:]
