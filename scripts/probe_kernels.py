#!/usr/bin/env python3
"""Ask real runtimes which types their kernels take, and keep the answers with their date.

    python scripts/probe_kernels.py FOLDER --make                           with TensorFlow: small models to ask with
    python scripts/probe_kernels.py FOLDER ai-edge-litert tflite-runtime    those of this environment
    python scripts/probe_kernels.py FOLDER tflite-micro --at PLACE          of `pip install --target PLACE`

Each model is run. Where that fails it is cut short after each of its operators, and the first cut that fails names the
kernel. Whether an operator and its version are known at all is in runtimes.json (scripts/probe_runtimes.py).
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tflite_edge.flatbuffer.prefix import prefixes
from tflite_edge.flatbuffer.rules import kernels, look
from tflite_edge.flatbuffer.rules.runtimes import find

SHAPE = (1, 8, 8, 4)
MODES = ("float32", "dynamic", "int8", "int16x8")
DEADLINE_S = 600

# Each path in a fork of its own: a kernel may abort the process instead of refusing.
CHILD = r"""
import importlib.metadata, json, os, sys
import numpy as np
package, *paths = json.load(sys.stdin)
if package == "tflite-micro":
    from tflite_micro.python.tflite_micro import runtime
    def run(path):
        made = runtime.Interpreter.from_file(path, arena_size=1 << 22)
        detail = made.get_input_details(0)
        made.set_input(np.ones(detail["shape"], detail["dtype"]), 0)
        made.invoke()
else:
    if package == "tflite-runtime":
        from tflite_runtime.interpreter import Interpreter
    else:
        from ai_edge_litert.interpreter import Interpreter
    def run(path):
        made = Interpreter(path)
        made.allocate_tensors()
        for detail in made.get_input_details():
            made.set_tensor(detail["index"], np.ones(detail["shape"], detail["dtype"]))
        made.invoke()
print(json.dumps(importlib.metadata.version(package)), flush=True)
for path in paths:
    child = os.fork()
    if child == 0:
        status = 1
        try:
            run(path)
            status = 0
        finally:
            os._exit(status)
    print(json.dumps(os.waitpid(child, 0)[1] == 0), flush=True)
"""


def ask(package: str, paths: list[Path], folder: str = "") -> tuple[str, list[bool]]:
    """(version of the runtime, whether each file runs)."""
    path = os.pathsep.join(filter(None, [folder, os.environ.get("PYTHONPATH", "")]))
    done = subprocess.run(
        [sys.executable, "-c", CHILD], input=json.dumps([package, *map(str, paths)]), text=True, capture_output=True,
        timeout=DEADLINE_S, check=False, env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip
    version, *ran = [json.loads(line) for line in done.stdout.splitlines()]
    if len(ran) != len(paths):
        raise SystemExit(f"{package} cannot be asked: {done.stderr[-500:]}")
    return version, ran


def probe(package: str, paths: list[Path], folder: str = "") -> tuple[str, dict[str, dict[str, str]]]:
    """(version, operator -> the types that it takes and refuses)."""
    version, whole = ask(package, paths, folder)
    table = find(f"{package}=={version}")[0]
    answers: dict[bool, dict[str, set[str]]] = {True: {}, False: {}}
    for path, runs in zip(paths, whole, strict=True):
        operators = look(str(path)).graphs[0].operators
        stop: int | None = len(operators)
        if not runs:
            known = all(not one.custom and table.knows(one.name, one.version) for one in operators)
            stop = _first_refused(package, path, folder) if known else None
        if stop is not None:
            for operator in operators[: stop + 1]:
                answers[operator.index < stop].setdefault(operator.name, set()).add(kernels.types(operator))
    names = sorted({*answers[True], *answers[False]})
    return version, {name: _told(*(answers[took].get(name, set()) for took in (True, False))) for name in names}


def _first_refused(package: str, path: Path, folder: str) -> int | None:
    """Index of the first operator with which the model, cut short behind it, does not run."""
    with tempfile.TemporaryDirectory() as work:
        cut = []
        for number, (_, content) in enumerate(prefixes(str(path))):
            cut.append(Path(work, f"{number}.tflite"))
            cut[-1].write_bytes(content)
        ran = ask(package, cut, folder)[1]
    # The first holds no operator, and what refuses that one says nothing of kernels.
    return ran[1:].index(False) if ran[0] and not all(ran[1:]) else None


def _told(takes: set[str], refuses: set[str]) -> dict[str, str]:
    """What ran once is not refused for its types, but for a shape or an option."""
    told = {"takes": " ".join(sorted(takes)), "refuses": " ".join(sorted(refuses - takes))}
    return {answer: types for answer, types in told.items() if types}


def keep(package: str, version: str, operators: dict[str, dict[str, str]], table: Path = kernels.TABLE) -> None:
    """Lay one runtime's answers over the table; written whole or not at all."""
    kept = json.loads(table.read_text()) if table.exists() else {}
    today = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
    kept[package] = {**kept.get(package, {}), version: {"probed": today, "operators": operators}}
    part = table.with_suffix(".part")
    part.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")
    part.replace(table)


def functions(tf: Any) -> dict[str, Any]:
    """Name -> a function of one float tensor of SHAPE: most are one operator, beside those that its converter adds."""
    weights = {shape: tf.sin(tf.reshape(tf.range(float(math.prod(shape))), shape)) for shape in KERNELS}
    bias = tf.linspace(-1.0, 1.0, 64)
    around = [[0, 0], [1, 1], [1, 1], [0, 0]]
    math_, nn, image = tf.math, tf.nn, tf.image
    unary = [
        tf.abs, tf.exp, tf.square, tf.negative, tf.sin, tf.cos, tf.floor, math_.ceil, tf.round, tf.sign, tf.tanh,
        tf.sigmoid, nn.softmax, nn.log_softmax, nn.local_response_normalization, nn.relu, nn.relu6, nn.elu,
        nn.selu, nn.gelu, nn.leaky_relu, nn.softplus,
    ]  # fmt: skip
    named = {one.__name__: one for one in unary}
    return named | {
        "sqrt": lambda x: tf.sqrt(tf.abs(x)),
        "rsqrt": lambda x: math_.rsqrt(tf.abs(x) + 1),
        "log": lambda x: math_.log(tf.abs(x) + 1),
        "pow": lambda x: tf.pow(tf.abs(x), 2.5),
        "add": lambda x: x + nn.relu(x),
        "sub": lambda x: x - nn.relu(x),
        "mul": lambda x: x * nn.relu(x),
        "div": lambda x: x / (tf.abs(x) + 1),
        "maximum": lambda x: tf.maximum(x, x * 0.5),
        "minimum": lambda x: tf.minimum(x, -x),
        "squared_difference": lambda x: math_.squared_difference(x, x * 0.5),
        "floormod": lambda x: math_.floormod(x, 0.7),
        "atan2": lambda x: math_.atan2(x, x + 2),
        "add_n": lambda x: tf.add_n([x, x * 2, x * 3]),
        "sum": lambda x: tf.reduce_sum(x, -1),
        "mean": lambda x: tf.reduce_mean(x, [1, 2]),
        "reduce_max": lambda x: tf.reduce_max(x, -1),
        "reduce_min": lambda x: tf.reduce_min(x, 1),
        "reduce_prod": lambda x: tf.reduce_prod(x, -1),
        "std": lambda x: math_.reduce_std(x, -1),
        "norm": lambda x: tf.norm(x, axis=-1),
        "l2_normalize": lambda x: math_.l2_normalize(x, -1),
        "cumsum": lambda x: tf.cumsum(x, 1),
        "argmax": lambda x: tf.argmax(x, -1),
        "argmin32": lambda x: tf.argmin(x, -1, tf.int32),
        "top_k": lambda x: math_.top_k(x)[0],
        "one_hot": lambda x: tf.one_hot(tf.argmax(x, -1), 4),
        "cast": lambda x: tf.cast(tf.cast(x, tf.int32), tf.float32),
        "greater": lambda x: tf.cast(x > nn.relu(x), tf.float32),
        "less": lambda x: tf.cast(x < 0.3, tf.float32),
        "equal": lambda x: tf.cast(tf.equal(x, 0.3), tf.float32),
        "where": lambda x: tf.where(x > 0.1, x, x * 2),
        "prelu": lambda x: nn.relu(x) - 0.2 * nn.relu(-x),
        "relu_0_to_1": lambda x: tf.minimum(tf.maximum(x, 0.0), 1.0),
        "hard_swish": lambda x: x * nn.relu6(x + 3) / 6,
        "space_to_depth": lambda x: nn.space_to_depth(x, 2),
        "depth_to_space": lambda x: nn.depth_to_space(x, 2),
        "space_to_batch": lambda x: tf.space_to_batch(x, [2, 2], [[0, 0], [0, 0]]),
        "pad": lambda x: tf.pad(x, around),
        "pad_with": lambda x: tf.pad(x, around, constant_values=1.5),
        "mirror_pad": lambda x: tf.pad(x, around, mode="SYMMETRIC"),
        "tile": lambda x: tf.tile(x, [1, 2, 1, 1]),
        "reverse": lambda x: tf.reverse(x, [1]),
        "transpose": lambda x: tf.transpose(x, [0, 3, 1, 2]),
        "reshape": lambda x: tf.reshape(x, [1, -1]),
        "nearest": lambda x: image.resize(x, (16, 16), "nearest"),
        "bilinear": lambda x: image.resize(x, (16, 16)),
        "gather": lambda x: tf.gather(x, [0, 2], axis=1),
        "gather_nd": lambda x: tf.gather_nd(x, [[0, 1], [0, 2]]),
        "scatter_nd": lambda x: tf.tensor_scatter_nd_update(x[0, 0], [[1]], x[0, 1, :1]),
        "segment_sum": lambda x: math_.segment_sum(x[0], [0, 0, 1, 1, 2, 2, 3, 3]),
        "broadcast_to": lambda x: tf.broadcast_to(x, (3, 8, 8, 4)),
        "concat": lambda x: tf.concat([x, nn.relu(x)], -1),
        "split": lambda x: tf.split(x, 2, -1),
        "unstack": lambda x: tf.unstack(x, axis=1),
        "stack": lambda x: tf.stack([x, x * 2], 1),
        "strided_slice": lambda x: x[:, ::2, 1:5],
        "slice": lambda x: tf.slice(x, [0, 1, 1, 0], [1, 3, 3, 4]),
        "avg_pool": lambda x: nn.avg_pool2d(x, 2, 2, "SAME"),
        "max_pool": lambda x: nn.max_pool2d(x, 2, 2, "SAME"),
        "matmul": lambda x: tf.matmul(x, x, transpose_b=True),
        "matmul_first": lambda x: tf.matmul(x, x, transpose_a=True),
        "einsum": lambda x: tf.einsum("abcd,aecd->acbe", x, x),
        "conv": lambda x: nn.conv2d(x, weights[3, 3, 4, 64], 1, "SAME"),
        "conv_bias": lambda x: nn.conv2d(x, weights[3, 3, 4, 64], 1, "SAME") + bias,
        "conv_dilated": lambda x: nn.conv2d(x, weights[3, 3, 4, 64], 1, "SAME", dilations=2),
        "depthwise": lambda x: nn.depthwise_conv2d(x, weights[3, 3, 4, 64], [1] * 4, "SAME"),
        "conv_transpose": lambda x: nn.conv2d_transpose(x, weights[3, 3, 64, 4], (1, 8, 8, 64), 1),
        "conv_transpose_bias": lambda x: nn.conv2d_transpose(x, weights[3, 3, 64, 4], (1, 8, 8, 64), 1) + bias,
        "dense": lambda x: tf.reshape(x, [1, 256]) @ weights[256, 64],
        "dense_bias": lambda x: tf.reshape(x, [1, 256]) @ weights[256, 64] + bias,
    }


KERNELS = ((3, 3, 4, 64), (3, 3, 64, 4), (256, 64))


def make(folder: Path) -> None:
    """Each of `functions` in each of MODES, where TensorFlow's converter makes it."""
    import tensorflow as tf

    samples = tf.random.stateless_normal((10, *SHAPE), (1, 2))
    folder.mkdir(parents=True, exist_ok=True)
    for name, function in functions(tf).items():
        signature = [tf.TensorSpec(SHAPE, tf.float32)]
        traced = tf.function(function, input_signature=signature, autograph=False).get_concrete_function()
        for mode in MODES:
            converter = tf.lite.TFLiteConverter.from_concrete_functions([traced], tf.Module())
            if mode != "float32":
                converter.optimizations = [tf.lite.Optimize.DEFAULT]
            if mode in ("int8", "int16x8"):
                converter.representative_dataset = lambda: [[sample] for sample in samples]
            if mode == "int16x8":
                wide = tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
                converter.target_spec.supported_ops = [wide, tf.lite.OpsSet.TFLITE_BUILTINS]
            try:
                (folder / f"{name}-{mode}.tflite").write_bytes(converter.convert())
            except Exception as error:  # noqa: BLE001 - of whatever kind: the other models are made all the same
                print(f"{name} {mode}: {str(error)[:100]!r}", file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="of the models to ask with")
    parser.add_argument("packages", nargs="*", help="ai-edge-litert, tflite-runtime, tflite-micro")
    parser.add_argument("--make", action="store_true", help="write the models into FOLDER")
    parser.add_argument("--at", default="", metavar="PLACE", help="where `pip install --target` put the package")
    given = parser.parse_args()
    if given.make:
        make(given.folder)
    for package in given.packages:
        version, operators = probe(package, sorted(given.folder.glob("*.tflite")), given.at)
        keep(package, version, operators)
        refused = sum("refuses" in one for one in operators.values())
        print(f"{package} {version}: {len(operators)} operators, {refused} of them refuse some types")


if __name__ == "__main__":
    main()
