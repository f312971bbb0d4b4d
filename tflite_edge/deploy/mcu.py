"""A model as C source for TensorFlow Lite Micro: the bytes, the operators to register, the arena to reserve."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from tflite_edge.flatbuffer import Facts, inspect, rules
from tflite_edge.flatbuffer.strip import strip
from tflite_edge.records.errors import EdgeError, ModelError
from tflite_edge.targets.micro import smallest_arena
from tflite_edge.targets.proof import prove

# The Add… methods of tflite-micro's MicroMutableOpResolver that stand for a builtin operator, as of 2025
# (tensorflow/lite/micro/micro_mutable_op_resolver.h), by the builtin's name.
METHODS = {
    name: "Add" + (special or "".join(part[:1] + part[1:].lower() for part in name.split("_")))
    for name, _, special in (
        word.partition("=")
        for word in """
        ABS ADD ADD_N ARG_MAX ARG_MIN ASSIGN_VARIABLE AVERAGE_POOL_2D=AveragePool2D BATCH_MATMUL=BatchMatMul
        BATCH_TO_SPACE_ND BROADCAST_ARGS BROADCAST_TO CALL_ONCE CAST CEIL CONCATENATION CONV_2D=Conv2D COS CUMSUM=CumSum
        DEPTH_TO_SPACE DEPTHWISE_CONV_2D=DepthwiseConv2D DEQUANTIZE DIV DYNAMIC_UPDATE_SLICE EMBEDDING_LOOKUP ELU EQUAL
        EXP EXPAND_DIMS FILL FLOOR FLOOR_DIV FLOOR_MOD FULLY_CONNECTED GATHER GATHER_ND GREATER GREATER_EQUAL HARD_SWISH
        IF L2_NORMALIZATION=L2Normalization L2_POOL_2D=L2Pool2D LEAKY_RELU LESS LESS_EQUAL LOG LOGICAL_AND LOGICAL_NOT
        LOGICAL_OR LOGISTIC LOG_SOFTMAX MAXIMUM MAX_POOL_2D=MaxPool2D MIRROR_PAD MEAN MINIMUM MUL NEG NOT_EQUAL PACK PAD
        PADV2=PadV2 PRELU QUANTIZE READ_VARIABLE REDUCE_ALL REDUCE_MAX REDUCE_MIN RELU RELU6 RESHAPE RESIZE_BILINEAR
        RESIZE_NEAREST_NEIGHBOR REVERSE_V2 ROUND RSQRT SELECT_V2 SHAPE SIN SLICE SOFTMAX SPACE_TO_BATCH_ND
        SPACE_TO_DEPTH SPLIT SPLIT_V SQUEEZE SQRT SQUARE SQUARED_DIFFERENCE STRIDED_SLICE SUB SUM SVDF TANH
        TRANSPOSE_CONV TRANSPOSE UNPACK UNIDIRECTIONAL_SEQUENCE_LSTM=UnidirectionalSequenceLSTM VAR_HANDLE WHILE
        ZEROS_LIKE
        """.split()  # noqa: SIM905 - a list of 100 quoted words hides the words
    )
}
ALIGNMENT_BYTES = 16  # what TFLite Micro asks of a model and of its arena
PER_LINE = 16
PROOF_RUNS = 5  # random inputs: stripping changes no kernel
# What the interpreter and its kernels keep in the arena besides activations, rounded up.
ROOM_BYTES, ROOM_OPERATOR_BYTES = 4096, 512
ROOM_CHANNEL_BYTES = 8  # a multiplier and a shift, int32 each, for each scale of a kernel (kernels/conv_common.cc)


def sources(model: Path, name: str, arena_bytes: int, arena_why: str, methods: Sequence[str] = ()) -> dict[str, bytes]:
    """File name -> C source for `model`: NAME_model.h, NAME_model.c, NAME_ops.h (C++).

    arena_bytes, arena_why: the tensor arena to reserve and where that number comes from. methods: of the resolver, by
    default those that the model's builtin operators need.
    Raises ModelError for what does not start there (`check --target mcu`), each operator by its name.
    """
    symbol = symbol_of(name)
    content = model.read_bytes()
    methods = list(methods) or resolver(model)
    guard = f"{symbol.upper()}_MODEL_H_"
    header = f"""\
/* {name} for TensorFlow Lite Micro, made by tflite-edge. C and C++. */
#ifndef {guard}
#define {guard}

#ifdef __cplusplus
extern "C" {{
#endif

/* {arena_why} */
#define {symbol.upper()}_ARENA_BYTES {arena_bytes}

/* Aligned to {ALIGNMENT_BYTES} bytes; const, so that it stays in flash. */
extern const unsigned char {symbol}_model[];
extern const unsigned int {symbol}_model_bytes; /* {len(content):,} */

#ifdef __cplusplus
}}
#endif
#endif
"""
    body = f"""\
#include "{symbol}_model.h"

#if defined(__GNUC__) || defined(__clang__)
__attribute__((aligned({ALIGNMENT_BYTES})))
#endif
const unsigned char {symbol}_model[] = {{
{_array(content)}}};
const unsigned int {symbol}_model_bytes = {len(content)};
"""
    calls = "\n".join(f"  if (resolver.{method}() != kTfLiteOk) return kTfLiteError;" for method in methods)
    ops = f"""\
/* The {len(methods)} operators that {name} needs, and no other: each one that is not linked saves flash. C++. */
#pragma once
#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"

using {_camel(symbol)}Resolver = tflite::MicroMutableOpResolver<{len(methods)}>;

inline TfLiteStatus {_camel(symbol)}Register({_camel(symbol)}Resolver& resolver) {{
{calls}
  return kTfLiteOk;
}}
"""
    files = {f"{symbol}_model.h": header, f"{symbol}_model.c": body, f"{symbol}_ops.h": ops}
    return {file: text.encode() for file, text in files.items()}


def stripped(model: Path, folder: Path, suffix: str = "") -> Path:
    """`model` in `folder` without what no microcontroller reads: names, labels, signatures. Proven to answer the same,
    and so raises MissingError where no runtime is installed to ask."""
    path = folder / f"{model.stem}{suffix}.tflite"
    path.write_bytes(strip(model, "mcu")[0])
    different = [proof.different for proof in prove(str(model), str(path), runs=PROOF_RUNS) if proof.different]
    if different:
        raise EdgeError(f"{model} answers otherwise once it is stripped", evidence="\n".join(different))
    return path


def arena_of(model: Path, python: str = sys.executable) -> tuple[int, str]:
    """(bytes, why): the tensor arena to reserve, in whole KiB: measured by TFLite Micro's interpreter where `python`
    has its package, else an estimate. Raises ModelError where nothing can be said."""
    measured, how = smallest_arena(model, python=python)
    if measured is not None:
        return measured, (
            f"measured: {how}, whose pointers are of 64 bits: a 32-bit device needs less; kernels of its vendor "
            "(CMSIS-NN, ...) may need more, as arena_used_bytes() tells there"
        )
    estimated, why = estimated_arena(model)
    return estimated, f"{why}; not measured: {how}"


def estimated_arena(model: Path) -> tuple[int, str]:
    """(bytes, why), from the file alone. Raises ModelError for a model without fixed shapes."""
    facts = inspect(model)
    planned, why = (facts.arena.planned_bytes, facts.arena.why) if facts.arena else (None, "")
    if planned is None:
        raise ModelError(f"no arena can be reserved for {model}", evidence=why, do="give it fixed shapes")
    operators = sum(operator.count for operator in facts.operators)
    channels = _channels(facts)
    scales = ROOM_CHANNEL_BYTES * channels
    bytes_ = planned + scales + ROOM_BYTES + ROOM_OPERATOR_BYTES * operators
    return -(-bytes_ // 1024) * 1024, (
        f"an estimate: {planned:,} bytes of activations by the greedy plan, {scales:,} of scales and room for the "
        "interpreter; arena_used_bytes() tells the truth on the device"
    )


def _channels(facts: Facts) -> int:
    """Output channels of all convolutions, for each of which TFLite Micro keeps a multiplier and a shift, of whatever
    type they are, and of dense layers with a scale for each."""
    tensors = {(tensor.subgraph, tensor.index): tensor for tensor in facts.tensors}
    convolutions = [node for node in facts.nodes if node.name in ("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV")]
    shapes = [tensors[node.subgraph, index].shape for node in convolutions for index in node.outputs]
    dense = [node for node in facts.nodes if node.name == "FULLY_CONNECTED"]
    return sum(shape[-1] for shape in shapes if shape) + sum(
        max((tensors[node.subgraph, index].scales for index in node.inputs), default=0) for node in dense
    )


def resolver(model: Path) -> list[str]:
    """The resolver's methods for the operators of `model`, sorted. Raises ModelError as `sources` does."""
    placed = rules.place("mcu", rules.look(str(model)))
    fatal = [finding for finding in placed.findings if finding.fatal]
    if fatal:
        missed = [
            f"#{row.place} {row.name}: {row.rule} {row.evidence}".rstrip() for row in placed.rows if not row.mapped
        ]
        raise ModelError(
            f"{model} does not start on TensorFlow Lite Micro",
            evidence="\n".join(missed or [finding.what for finding in fatal]),
            do=f"{fatal[0].do}; `tflite-edge check {model} --target mcu` tells more",
        )
    names = {operator.name for operator in inspect(model).operators}
    unspelled = sorted(names - set(METHODS))
    if unspelled:
        raise ModelError(f"the resolver's method for {', '.join(unspelled)} is not known here")
    return sorted(METHODS[name] for name in names)


def symbol_of(name: str) -> str:
    """`name` as a C identifier."""
    symbol = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_").lower()
    return symbol if symbol and not symbol[0].isdigit() else f"m_{symbol}"


def _camel(symbol: str) -> str:
    return "".join(part.capitalize() for part in symbol.split("_"))


def _array(content: bytes) -> str:
    words = [f"0x{byte:02x}," for byte in range(256)]
    rows = (content[start : start + PER_LINE] for start in range(0, len(content), PER_LINE))
    return "".join("  " + " ".join(words[byte] for byte in row) + "\n" for row in rows)
