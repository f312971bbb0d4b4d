"""The command line. Commands are imported only when they are named, and TensorFlow only when they run."""

from __future__ import annotations

import os
import signal
import sys
from importlib import import_module
from typing import Any

import click

from tflite_edge import __version__
from tflite_edge.records.errors import EXIT_BUG, EXIT_INTERRUPTED, EdgeError
from tflite_edge.records.plain import nearest

# name -> the line that `--help` shows; the command lives in the module of the same name.
COMMANDS = {
    "convert": "Make flatbuffers from a Keras model and prove them on a TFLite runtime.",
    "calibrate": "Tell whether the samples that set an int8 file's ranges are representative.",
    "inspect": "Read a .tflite file's bytes: types, operators, quantisation, sizes.",
    "check": "Hold a .tflite file against what a runtime knows or an accelerator maps.",
    "strip": "Make a .tflite file smaller without changing an answer.",
    "bench": "Time a .tflite file: start-up, latency, memory, stability.",
    "compare": "Hold a .tflite file's answers on several targets, or two files' layers, against each other.",
    "evaluate": "Score a .tflite file on labelled data.",
    "search": "Find the best recipes within limits of size, latency and accuracy.",
    "learn": "Teach a trainable .tflite file new samples, on this machine or a board.",
    "average": "Average the heads that several boards have learnt.",
    "emulator": "Install, list and remove emulated Raspberry Pis.",
    "package": "Pack a model for a board: one archive that installs offline.",
    "report": "Write a page for people about a model or a search: HTML, Markdown, model card.",
    "verify": "Prove a bundle: its files, and whose it is.",
    "keygen": "Make a key pair to sign bundles with.",
    "doctor": "Look for what this machine or a board lacks, and say what mends it.",
    "models": "List the zoo of lightweight models.",
    "init": "Write a commented recipe to start from.",
}


class Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = import_module(f"tflite_edge.cli.{name}").command
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args[0] not in COMMANDS:
            raise click.UsageError(f"no command {args[0]!r}; {nearest(args[0], COMMANDS)}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Short help without importing the commands."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="tflite-edge")
def app() -> None:
    """From a Keras model to a small, fast and verified TFLite model for a Raspberry Pi.

    \b
    tflite-edge convert mobilenet                  train, convert, verify: build/mobilenet/
    tflite-edge convert my.h5 --data photos/       your own model and images
    tflite-edge inspect model.tflite               what the bytes really hold
    """


def main() -> int:
    """Run the command line; the exit code is the verdict's or the error's (see records/errors.py)."""
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no terminal that hangs up
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:  # as nohup asks
            signal.signal(number, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
    try:
        return int(app.main(standalone_mode=False) or 0)
    except EdgeError as error:
        return _say(f"error: {error}", error.exit_code)
    except click.exceptions.Abort:
        return _say("interrupted; finished steps are kept, run again to go on", EXIT_INTERRUPTED)
    except KeyboardInterrupt:
        return _say("interrupted; finished steps are kept, run again to go on", EXIT_INTERRUPTED)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except BrokenPipeError:  # the reader of stdout has gone, as in `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if os.environ.get("TFLITE_EDGE_DEBUG"):
            raise
        return _say(
            f"internal error: {type(error).__name__}: {error}\n  do: report it with the output of TFLITE_EDGE_DEBUG=1",
            EXIT_BUG,
        )


def _say(text: str, code: int) -> int:
    click.echo(text, err=True)
    return code
