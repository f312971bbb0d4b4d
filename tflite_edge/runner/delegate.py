"""An accelerator on the board: its delegate, tried where it can do no harm, or the reason why the CPU answers."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from typing import Any, Dict, NamedTuple, Optional, Tuple

from tflite_edge.harness.runtime import PACKAGES, Chosen
from tflite_edge.records.card import EDGETPU_OP, Card
from tflite_edge.records.errors import BundleError
from tflite_edge.records.signals import signal_name

# Card.delegate -> (library, options of its delegate, the Debian package that brings it).
LIBRARIES: Dict[str, Tuple[str, Dict[str, str], str]] = {
    "edgetpu": ("libedgetpu.so.1", {"device": "usb:0"}, "libedgetpu1-std"),
}
DEADLINE_S = 60.0  # a driver that waits for a device for ever

# A driver built for another TensorFlow ends the process (docs/how-to/coral.md): it is tried in one of its own.
TRY = """
import sys
sys.path = [place for place in sys.path if place]  # "" is the folder that the user stands in, with a json.py of its own
import importlib, json, os
answer = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # what a driver prints is talk
module = importlib.import_module(sys.argv[1])
def say(kind, message=""):
    print(json.dumps([kind, str(message)]), file=answer, flush=True)
try:
    delegate = module.load_delegate(sys.argv[2], json.loads(sys.argv[3]))
except OSError as error:
    say("library", error)
except (ValueError, RuntimeError) as error:
    say("device", error)
except AttributeError as error:
    say("symbol", error)
else:
    try:
        interpreter = module.Interpreter(sys.argv[4], experimental_delegates=[delegate])
        interpreter.allocate_tensors()
        interpreter.invoke()
    except (ValueError, RuntimeError) as error:
        say("model", error)
    else:
        say("ok")
"""


class Accelerated(NamedTuple):
    """The interpreter on the accelerator and the name of its library; None of both where the CPU answers, and why."""

    interpreter: Any
    delegate: Optional[str]
    why: str

    def as_fields(self) -> Dict[str, Any]:
        """What an answer says of it."""
        return {"delegate": self.delegate, **({} if self.delegate else {"why": self.why})}


def accelerate(card: Card, folder: str, chosen: Chosen, plain: Any) -> Accelerated:
    """The model of `card` on its delegate. plain: the interpreter on the CPU, of which inputs and outputs are the same.

    Raises BundleError for a compiled model that is not the one that was packed; whatever else is wrong is a reason.
    """
    library, options, package = LIBRARIES[card.delegate]
    path = os.path.join(folder, card.compiled)
    try:
        with open(path, "rb") as stream:
            content = stream.read()
    except OSError:
        return Accelerated(None, None, f"{card.compiled} is not beside the model: CORAL.md tells how to make it")
    if card.compiled_sha256 and hashlib.sha256(content).hexdigest() != card.compiled_sha256:
        raise BundleError(f"{path} is not the model that was packed", do="install the bundle again")
    if EDGETPU_OP.encode() not in content:  # its delegate would take nothing of it, and the CPU would answer
        return Accelerated(None, None, f"{card.compiled} was not compiled for the Edge TPU: it has no {EDGETPU_OP}")
    why = _tried(chosen, path, library, options, package)
    if why:
        return Accelerated(None, None, why)
    _keep_stdout()
    try:
        delegate = chosen.module.load_delegate(library, options)
        interpreter = chosen.module.Interpreter(path, experimental_delegates=[delegate])
        interpreter.allocate_tensors()
    except (OSError, ValueError, RuntimeError) as error:  # it was unplugged since, or another process has it
        return Accelerated(None, None, f"{library}: {_line(str(error))}")
    if _edges(interpreter) != _edges(plain):
        return Accelerated(None, None, f"{card.compiled} takes or gives other tensors than {card.model}")
    return Accelerated(interpreter, library, "")


def _keep_stdout() -> None:
    """From here on what a driver prints goes to stderr, also what it keeps until it ends; what we print goes on."""
    sys.stdout.flush()
    kept = os.fdopen(os.dup(1), "w", encoding=sys.stdout.encoding, errors=sys.stdout.errors)
    os.dup2(2, 1)
    sys.stdout = kept


def _tried(chosen: Chosen, path: str, library: str, options: Dict[str, str], package: str) -> str:
    """Why the delegate does not run the model here; "" where it does."""
    argv = [sys.executable, "-s", "-c", TRY, f"{PACKAGES[chosen.name]}.interpreter", library, json.dumps(options), path]
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=DEADLINE_S, check=False)
    except subprocess.TimeoutExpired:
        return f"{library} did not answer within {DEADLINE_S:g} s"
    except OSError as error:
        return f"{library} cannot be tried in a process of its own: {error}"
    if done.returncode < 0:
        died = signal_name(-done.returncode)
        return (
            f"{library} crashes under {chosen.title} ({died}): it was built against another TensorFlow; "
            "CORAL.md tells which builds work"
        )
    try:
        kind, message = json.loads(done.stdout.decode(errors="replace").splitlines()[-1])
    except (ValueError, IndexError):
        return f"{library} cannot be tried: {_line(done.stderr.decode(errors='replace')) or done.returncode}"
    reasons = {
        "ok": "",
        "library": f"{library} cannot be loaded ({_line(message)}): sudo apt install {package}",
        "device": f"{library} finds no device it may use ({_line(message)}): is it plugged in, are you in plugdev?",
        "symbol": f"{library} is no TFLite delegate ({_line(message)})",
        "model": f"{os.path.basename(path)} does not run on it: {_line(message)}",
    }
    return reasons.get(kind, f"{library}: {kind}")


def _edges(interpreter: Any) -> Any:
    sides = (interpreter.get_input_details(), interpreter.get_output_details())
    return [[([int(n) for n in one["shape"]], one["dtype"], one["quantization"]) for one in side] for side in sides]


def _line(message: str) -> str:
    return " ".join(message.split())[:200]
