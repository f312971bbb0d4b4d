"""Joules per inference: watts sampled in a side thread while the machine is idle and while it infers."""

from __future__ import annotations

import threading
import time
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

import numpy as np

from tflite_edge.harness.power import Meter, find
from tflite_edge.harness.sensors import read_text
from tflite_edge.records.sensors import Energy

PAUSE_S = 0.1  # ten readings a second: vcgencmd takes some 5 ms of a core for each
IDLE_SHARE = 0.5  # of the measured time, beforehand
BLOCK_S = 1.0
STOP_S = 2.0  # for the last reading
DRAWS, SEED = 2000, 7
CPU_S = 1.0  # for the estimate

# Extra watts of one busy core, (all cores busy - idle) / cores, and where the two are published.
CORE_W: Dict[str, Tuple[float, str]] = {
    "Raspberry Pi 4": (
        (6.4 - 2.7) / 4,
        "Raspberry Pi Dramble, Power Consumption Benchmarks, Pi 4 B: 2.7 W idle, 6.4 W with stress --cpu 4",
    ),
}


class Block(NamedTuple):
    """About a second of inferences."""

    seconds: float
    inferences: int
    watts: float


class Sampler:
    """Reads a meter in a side thread; keeps (moment of perf_counter, watts)."""

    def __init__(self, meter: Meter) -> None:
        self.meter, self.failure = meter, ""
        self.samples: List[Tuple[float, float]] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Sampler:
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._over.set()
        self.meter.stop()
        self._thread.join(timeout=STOP_S)
        self.meter.close()

    def between(self, begin: float, end: float) -> List[float]:
        """The watts that were read in that time."""
        return [watts for moment, watts in self.samples if begin <= moment < end]

    def _work(self) -> None:
        last = 0.0
        while not self._over.wait(PAUSE_S if self.meter.paced else 0.0):
            try:
                watts = self.meter.read()
            except (OSError, ValueError) as error:
                if not self._over.is_set():
                    self.failure = str(error)
                return
            now = time.perf_counter()
            if now - last >= PAUSE_S / 2:  # a command may print far more lines than anyone needs
                self.samples.append((now, watts))
                last = now


def energy(invoke: Callable[[], None], seconds: float, command: Optional[str], root: str = "/") -> Energy:
    """Run `invoke` for `seconds` and more, and say what one call takes above the idle machine."""
    meter, why = find(root, command)
    if meter is None:
        return _estimated(invoke, why, root)
    blocks: List[Block] = []
    idle: List[float] = []
    with Sampler(meter) as sampler:
        began = time.perf_counter()
        time.sleep(IDLE_SHARE * seconds)
        idle = sampler.between(began, time.perf_counter())
        until = time.perf_counter() + seconds
        while not sampler.failure and time.perf_counter() < until:
            begin, runs = time.perf_counter(), 0
            while runs == 0 or time.perf_counter() < begin + min(BLOCK_S, seconds):
                invoke()
                runs += 1
            end = time.perf_counter()
            watts = sampler.between(begin, end)
            if watts:
                blocks.append(Block(end - begin, runs, float(np.mean(watts))))
    if sampler.failure or not idle or not blocks:
        few = f"it gave {len(sampler.samples)} readings, which is too few"
        return _estimated(invoke, f"{meter.source}: {sampler.failure or few}", root)
    return summed(meter.source, idle, blocks, len(sampler.samples))


def summed(source: str, idle: List[float], blocks: List[Block], samples: int) -> Energy:
    """The record of a measurement. idle: watts; the interval draws idle readings and blocks anew (Efron, 1979)."""
    seconds, runs, watts = (np.array(column, np.float64) for column in zip(*blocks))

    def joules(idle_w: Any, pick: Any) -> Any:
        above = (watts[pick] - idle_w) * seconds[pick]
        return above.sum(axis=-1) / runs[pick].sum(axis=-1)

    generator = np.random.default_rng(SEED)
    floor = generator.choice(np.array(idle), (DRAWS, len(idle))).mean(axis=1, keepdims=True)
    drawn = joules(floor, generator.integers(0, len(blocks), (DRAWS, len(blocks))))
    low, high = (float(value) for value in np.percentile(drawn, (2.5, 97.5)))
    value = float(joules(float(np.mean(idle)), np.arange(len(blocks))))
    return Energy(
        source=source,
        why=""
        if low > 0
        else "not above the idle machine's own ups and downs: measure longer, with nothing else running",
        idle_w=float(np.mean(idle)),
        active_w=float((watts * seconds).sum() / seconds.sum()),
        seconds=float(seconds.sum()),
        inferences=int(runs.sum()),
        samples=samples,
        joules=value,
        low_j=low,
        high_j=high,
    )


def _estimated(invoke: Callable[[], None], why: str, root: str) -> Energy:
    """Nothing was measured: processor time times a published figure, where there is one for this board."""
    model = read_text(f"{root.rstrip('/')}/proc/device-tree/model") or ""
    core_w, source = next((value for name, value in CORE_W.items() if model.startswith(name)), (None, ""))
    if core_w is None:
        return Energy(why=why, estimate_source=f"no published figures are known here for {model or 'this machine'}")
    began, busy, runs = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() < began + CPU_S or runs == 0:
        invoke()
        runs += 1
    cpu_s = (time.process_time() - busy) / runs
    how = f"{1e3 * cpu_s:.3f} ms of processor time x {core_w:.3f} W for each busy core; {source}"
    return Energy(why=why, estimate_j=cpu_s * core_w, estimate_source=how)
