"""`tflite-edge bench`: latency, start-up, memory, energy, pace."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from tflite_edge.cli import show_timing
from tflite_edge.cli.duration import Counts, Duration
from tflite_edge.cli.options import deadline_option, on_option, runtime_option
from tflite_edge.cli.show import elsewhere
from tflite_edge.cli.sink import Sink, format_option
from tflite_edge.records.errors import EXIT_GATE, EXIT_OK, UsageError
from tflite_edge.records.event import Event
from tflite_edge.records.verdict import OK, verdict_of

if TYPE_CHECKING:
    from tflite_edge.records.job import Job
    from tflite_edge.targets.machine import Machine

TICK_S = 1.0


@click.command()
@click.argument("model")
@on_option()
@runtime_option
@click.option(
    "--threads", type=Counts(), default="1", show_default=True, help="Of the interpreter; several: 1,2,4 side by side."
)
@click.option("--batch", type=Counts(), default="1", show_default=True, help="Images in one run; several: 1,4.")
@click.option("--runs", type=click.IntRange(1), default=50, show_default=True, help="Least number of timed runs.")
@click.option("--warmups", type=click.IntRange(0), default=5, show_default=True)
@click.option("--period", type=Duration(), help="Keep a pace: one frame each period, such as 33ms.")
@click.option("--for", "duration", type=Duration(), help="How long to keep it.  [default: 60s]")
@click.option("--operators", is_flag=True, help="What each operator takes.")
@click.option("--energy", is_flag=True, help="Joules per inference, above the idle machine; takes 15 s more.")
@click.option(
    "--power-command",
    metavar="COMMAND",
    help="Prints watts (3.1, 3100mW, 5.1V 0.6A): a line and ends, or a line for each reading. Implies --energy.",
)
@deadline_option()
@format_option
def command(model: str, on: str, sink: Sink, deadline: float, **options: Any) -> int:
    """Time a .tflite file in a process of its own: start-up, latency, memory, stability.

    On an emulated board, whose clock says nothing about the real one, it counts the instructions of an inference on one
    thread, and predicts the latency of the configuration for which there are published figures of real boards.

    \b
    tflite-edge bench build/mobilenet/mobilenet-static-wi8ai8.tflite
    tflite-edge bench model.tflite --threads 1,2,4           which setting, and why
    tflite-edge bench model.tflite --period 33ms --for 60s   misses, jitter, tail, heat
    tflite-edge bench model.tflite --operators               what each operator takes
    tflite-edge bench model.tflite --on emulator:pi4 --operators
    tflite-edge bench model.tflite --energy
    tflite-edge bench model.tflite --power-command 'cat /dev/ttyACM0' --format json
    """
    from tflite_edge.records.job import Job
    from tflite_edge.targets import open_machine

    threads, batches = options["threads"], options["batch"]
    many = len(threads) * len(batches) > 1
    energy = options["energy"] or options["power_command"] is not None
    run = _choose(options, energy, many)
    if on.startswith("emulator:"):
        _refuse_times(on)
    job = Job(
        "bench",
        model,
        runtime=options["runtime"],
        threads=threads[0],
        batch=batches[0],
        runs=options["runs"],
        warmups=options["warmups"],
        energy=energy,
        power_command=options["power_command"],
        period_s=options["period"],
        duration_s=options["duration"] or 60.0,
    )
    machine = open_machine(on)
    if many:
        return _matrix(machine, job, threads, batches, sink, deadline)
    return run(machine, job, sink, deadline)


# Options that say how time is measured; an emulated board is asked for none.
TIMES = ("batch", "runs", "warmups", "energy", "power_command")


def _refuse_times(on: str) -> None:
    """Raise UsageError where an emulated board is asked for what only a real one has."""
    context = click.get_current_context()
    asked = [name for name in TIMES if context.get_parameter_source(name) is not ParameterSource.DEFAULT]
    if asked:
        options = " and ".join(f"--{name.replace('_', '-')}" for name in asked)
        raise UsageError(
            f"{options} cannot be had of {on}: nothing is timed there, instructions of one inference are counted",
            do=f"leave {options} away, or ask the board itself: --on ssh://USER@HOST",
        )


Run = Callable[["Machine", "Job", Sink, float], int]


def _choose(options: dict[str, Any], energy: bool, many: bool) -> Run:
    """What is to be measured: one thing at a time. Raises UsageError where options exclude each other."""
    asked = {
        "--period": options["period"] is not None,
        "--operators": options["operators"],
        "--energy": energy,
        "several --threads or --batch": many,
    }
    chosen = [name for name, wanted in asked.items() if wanted]
    if len(chosen) > 1:
        raise UsageError(f"{' and '.join(chosen)} are measurements of their own", do="one of them at a time")
    if options["duration"] is not None and options["period"] is None:
        raise UsageError("--for is how long --period is kept", do="add --period, such as --period 33ms")
    if options["batch"] != [1] and (options["period"] is not None or options["operators"]):
        raise UsageError("--batch is for plain benchmarks", do="leave it away: one image in each frame")
    return _realtime if options["period"] is not None else _operators if options["operators"] else _bench


def _bench(machine: Machine, job: Job, sink: Sink, deadline_s: float) -> int:
    from tflite_edge.records.plain import to_plain

    if machine.emulated:
        return _estimate(machine, job, sink, deadline_s, operators=False)
    with sink.listening():
        result = machine.bench(job, deadline_s=deadline_s)
    sink.result(
        "bench",
        OK,
        {"model": job.model, "on": machine.name, **to_plain(result)},
        *show_timing.bench(result, job.model),
        *elsewhere(machine.name),
    )
    return EXIT_OK


def _estimate(machine: Machine, job: Job, sink: Sink, deadline_s: float, *, operators: bool) -> int:
    from tflite_edge.cli import show_estimate
    from tflite_edge.records.plain import to_plain

    with sink.listening():
        result = machine.estimate(job, operators=operators, deadline_s=deadline_s)
    sink.result(
        "bench",
        OK,
        {"model": job.model, "on": machine.name, **to_plain(result)},
        *show_estimate.estimate(result, job.model),
    )
    return EXIT_OK


def _matrix(machine: Machine, job: Job, threads: list[int], batches: list[int], sink: Sink, deadline_s: float) -> int:
    from tflite_edge.records.plain import to_plain
    from tflite_edge.targets.matrix import matrix

    with sink.listening() as listener:

        def told(done: int, total: int) -> None:
            listener(Event("measure", done=done, total=total))

        result = matrix(machine, job, threads, batches, deadline_s=deadline_s, on_progress=told)
    sink.result(
        "bench",
        OK,
        {"model": job.model, "on": machine.name, "matrix": to_plain(result)},
        *show_timing.matrix(result, job.model),
        *elsewhere(machine.name),
    )
    return EXIT_OK


def _operators(machine: Machine, job: Job, sink: Sink, deadline_s: float) -> int:
    from tflite_edge.records.plain import to_plain

    if machine.emulated:
        return _estimate(machine, job, sink, deadline_s, operators=True)
    with sink.listening():
        result = machine.profile(job, deadline_s=deadline_s)
    sink.result(
        "bench",
        OK,
        {"model": job.model, "on": machine.name, "profile": to_plain(result)},
        *show_timing.profile(result, job.model),
        *elsewhere(machine.name),
    )
    return EXIT_OK


def _realtime(machine: Machine, job: Job, sink: Sink, deadline_s: float) -> int:
    from tflite_edge.records.plain import to_plain
    from tflite_edge.records.timing import missed

    with sink.listening() as listener, _ticking(listener, job.duration_s):
        result = machine.realtime(job, deadline_s=deadline_s + job.duration_s)
    findings = missed(result)
    verdict = verdict_of(findings)
    document = {
        "model": job.model,
        "on": machine.name,
        "realtime": to_plain(result),
        "findings": [to_plain(one) for one in findings],
    }
    sink.result(
        "bench", verdict, document, *show_timing.realtime(result, job.model, findings), *elsewhere(machine.name)
    )
    return EXIT_OK if verdict == OK else EXIT_GATE


@contextmanager
def _ticking(listener: Callable[[Event], None], seconds: float) -> Iterator[None]:
    """Tell the time that has gone by while another process works."""
    over, total = threading.Event(), max(1, round(seconds))

    def tick() -> None:
        for done in range(1, total):
            if over.wait(TICK_S):
                return
            listener(Event("seconds", done=done, total=total))

    listener(Event("seconds", done=0, total=total))
    thread = threading.Thread(target=tick, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
