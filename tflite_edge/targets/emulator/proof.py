"""Does an emulated board run? Each of its runtimes answers a layer whose result is known."""

from __future__ import annotations

import base64
import tempfile
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from tflite_edge.records.errors import TargetError
from tflite_edge.records.event import Event, Listener
from tflite_edge.records.job import Job, ScoreResult
from tflite_edge.targets.machine import Machine

# One FULLY_CONNECTED of int8 [1, 4] -> [1, 3], as tests/harness/tiny.py builds it.
LAYER = zlib.decompress(
    base64.b85decode(
        "c-m!Bu}%U(5FHLe?vUUnTw!5BX<>1K1tySC5UVRKZA>g6K`I(ME8~aw0aVt0jh|p;T;JQBW%qC|vopIp@6GJn%SGhwww}CNYfHrU"
        "ut!=Z(iU$^*afTu`$8UlUy_k=>Pn7`uIBN4Au_^b7`-WOx86Q8y9Fy9cpztp3=qT*bpKrYSiv^R`Sh^f9%Jc=JxQ<_xzV`eK933a"
        "2^?9n-_m{NmRRhmi>`a<oqUx~Dd>NGt<ALtvESAYIdHwq$-kR4>wKurRgewt5>stGpGkU2xNaQRIPwJDhDW+xN4)Fv-8TD_|J*aj"
        "edYUU>z%!}MouZF^7Bom$~|>&?EeCu_nnXZf2tmh8dcOHyoqr<u?~5PLl08?0pYAb_W"
    )
)
ANSWERS = {(1.0, 0.0, 0.0, 0.0): (1.0, 0.0, 0.125), (0.0, 1.0, 1.0, 0.0): (0.0, 1.0, 1.125)}
STEP = 1 / 16  # of the layer's output
LONGEST_S = 120.0


def prove(machine: Any, listen: Listener) -> dict[str, Any]:
    """What answered: the runtimes with their versions, Python, NumPy, QEMU. Raises what the harness raises, and
    TargetError for a wrong answer."""
    runtimes = machine.board.runtimes
    listen(Event("prove", f"{' and '.join(runtimes)} on {machine.board.title}"))
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="tflite-edge-") as folder, ThreadPoolExecutor() as pool:
        results = list(pool.map(lambda runtime: _answer(machine, runtime, Path(folder)), runtimes))
    listen(Event("prove", f"right answers in {time.perf_counter() - began:.0f} s"))
    ran = results[0].runtime
    return {
        "runtimes": {result.runtime.name: result.runtime.version for result in results},
        "machine": ran.machine,
        "python": ran.python,
        "numpy": ran.numpy,
        "qemu": machine.qemu.version,
        "own_qemu": machine.qemu.own,
    }


def _answer(machine: Machine, runtime: str, folder: Path) -> ScoreResult:
    model, pack, outputs = (folder / f"{runtime}{end}" for end in (".tflite", ".npz", ".npy"))
    model.write_bytes(LAYER)
    np.savez(pack, x=np.array(list(ANSWERS), np.float32))
    job = Job("score", str(model), runtime=runtime, pack=str(pack), outputs=str(outputs))
    result = machine.score(job, deadline_s=LONGEST_S)
    wrong = np.abs(np.load(outputs) - np.array(list(ANSWERS.values()))).max()
    if not wrong <= STEP:
        raise TargetError(
            f"{runtime} answers wrongly on {machine.name}",
            evidence=f"a known layer is off by {wrong:g}",
            do=f"tflite-edge emulator remove {machine.name.partition(':')[2]}, then install it again",
        )
    return result
