"""Which TFLite runtime runs, why that one, and what its refusals mean."""

from __future__ import annotations

import importlib
import importlib.util
import platform
import re
import sys
from contextlib import contextmanager
from typing import Any, Dict, Iterator, List, NamedTuple, Optional

import numpy as np

from tflite_edge.records.errors import MissingError, ModelError
from tflite_edge.records.job import RUNTIMES, Runtime, Tensor

PACKAGES = {"ai-edge-litert": "ai_edge_litert", "tflite-runtime": "tflite_runtime"}
INSTALL = {
    "ai-edge-litert": "pip install ai-edge-litert  (64-bit, glibc 2.27, Python 3.9 or later; for 3.9 pip finds 2.1.0)",
    "tflite-runtime": 'pip install tflite-runtime==2.14.0 "numpy<2"  (Python 3.9 to 3.11)',
}
IDENTIFIER = b"TFL3"  # bytes 4..8 of every TFLite flatbuffer (schema.fbs, file_identifier)


class Chosen(NamedTuple):
    """A runtime that was imported. `failures`: one line for each preferred runtime that was not."""

    name: str
    module: Any
    asked: str
    failures: List[str]

    @property
    def version(self) -> str:
        return str(getattr(sys.modules[PACKAGES[self.name]], "__version__", "of unknown version"))

    @property
    def title(self) -> str:
        return f"{self.name} {self.version}"


def choose(name: str) -> Chosen:
    """Import the runtime `name`, or with "auto" the first of RUNTIMES that can be imported.

    Never imports both: two copies of TFLite in one process are asking for a crash. `describe` says why
    this one was chosen. Raises MissingError with the command that installs it.
    """
    failures: List[str] = []
    for candidate in RUNTIMES if name == "auto" else (name,):
        try:
            module = importlib.import_module(PACKAGES[candidate] + ".interpreter")
        except (ImportError, OSError) as error:  # OSError: its shared library does not load here
            failures.append(f"{candidate}: {error}")
            continue
        chosen = Chosen(candidate, module, name, failures)
        _check_numpy(chosen)
        return chosen
    wanted = "no TFLite runtime can" if name == "auto" else f"{name} cannot"
    raise MissingError(
        f"{wanted} be imported by {sys.executable}",
        evidence="\n".join(failures),
        do=" or ".join(INSTALL[candidate] for candidate in (RUNTIMES if name == "auto" else (name,))),
    )


def _check_numpy(chosen: Chosen) -> None:
    # The import succeeds with a warning; the first interpreter then dies of a SystemError.
    if chosen.name == "tflite-runtime" and int(np.__version__.split(".")[0]) >= 2:
        raise MissingError(
            f"{chosen.title} was built against NumPy 1 and cannot run with NumPy {np.__version__}",
            do='pip install "numpy<2", or pip install ai-edge-litert, which takes NumPy 2',
        )


def describe(chosen: Chosen) -> Runtime:
    """What ran and why. For after the measurement: importlib.metadata adds 3 MB to the process."""
    return Runtime(
        name=chosen.name,
        version=chosen.version,
        why=_why(chosen),
        python=platform.python_version(),
        machine=platform.machine(),
        numpy=np.__version__,
    )


def _why(chosen: Chosen) -> str:
    if chosen.asked != "auto":
        return f"{chosen.title}: asked for by name"
    if chosen.failures:
        return f"{chosen.title}: {RUNTIMES[0]} cannot be imported"
    reason = f"{chosen.title}: faster int8 kernels"
    for other in RUNTIMES:
        if other != chosen.name and importlib.util.find_spec(PACKAGES[other]):
            reason += f"; {other} {_installed_version(other)} is installed as well"
    return reason


def _installed_version(name: str) -> str:
    from importlib import metadata

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "of unknown version"


# Names in each runtime's own OpResolverType, which came with TFLite 2.5.
RESOLVERS = {"reference": "BUILTIN_REF", "builtin": "BUILTIN_WITHOUT_DEFAULT_DELEGATES"}


def open_interpreter(
    path: str,
    chosen: Chosen,
    threads: int,
    kernels: str = "default",
    *,
    keep_tensors: bool = False,
    batch: int = 1,
    content: Optional[bytes] = None,
) -> Any:
    """An interpreter with its tensors allocated. Raises ModelError when there is none to be had.

    kernels: one of records.job.KERNELS. Raises MissingError where the runtime cannot be asked for them.
    keep_tensors: intermediate tensors can be read after an inference; without it they silently hold garbage.
    batch: images at once; above one the inputs are resized. content: the model's bytes, where they are not the file's.
    """
    try:
        with open(path, "rb") as stream:
            head = stream.read(8)
    except OSError as error:
        raise ModelError(f"cannot read the model {path}", evidence=str(error)) from error
    if head[4:] != IDENTIFIER:
        raise ModelError(
            f"{path} is not a TFLite model",
            evidence=f"it begins with {head!r}; bytes 4 to 8 of a TFLite flatbuffer are {IDENTIFIER!r}",
            do="give the .tflite file that the converter wrote, copied in binary mode",
        )
    asked = _options(chosen, kernels, keep_tensors)
    with refusals(path, chosen):
        model = {"model_path": path} if content is None else {"model_content": content}
        interpreter = chosen.module.Interpreter(num_threads=threads, **model, **asked)
        interpreter.allocate_tensors()
    if batch > 1:
        _widen(interpreter, path, batch)
    return interpreter


def _options(chosen: Chosen, kernels: str, keep_tensors: bool) -> Dict[str, Any]:
    """What is asked of the constructor beyond the model; nothing where the defaults are meant."""
    asked: Dict[str, Any] = {}
    if kernels != "default":
        resolvers = getattr(chosen.module, "OpResolverType", None)
        resolver = getattr(resolvers, RESOLVERS[kernels], None)
        if resolver is None:
            raise MissingError(
                f"{chosen.title} has no {kernels} kernels to choose",
                evidence=f"its interpreter module has no OpResolverType.{RESOLVERS[kernels]}",
                do=INSTALL[chosen.name],
            )
        asked["experimental_op_resolver_type"] = resolver
    if keep_tensors:
        asked["experimental_preserve_all_tensors"] = True
    return asked


def _widen(interpreter: Any, path: str, batch: int) -> None:
    """Resize the inputs to `batch` images. Raises ModelError where not all outputs come in as many."""
    evidence = ""
    try:
        for detail in interpreter.get_input_details():
            shape = [int(size) for size in detail["shape"]]
            if shape[:1] != [1]:
                evidence = f"the input {detail['name']!r} is {shape}, whose first axis is no batch of one"
                break
            interpreter.resize_tensor_input(detail["index"], [batch, *shape[1:]])
        else:
            interpreter.allocate_tensors()
            interpreter.invoke()  # some shapes are known only now
            for detail in interpreter.get_output_details():
                shape = [int(size) for size in detail["shape"]]
                if shape[:1] != [batch]:
                    evidence = f"the output {detail['name']!r} stays {shape}"
    except (ValueError, RuntimeError) as error:
        evidence = str(error).strip()
    if evidence:
        raise ModelError(
            f"{path} cannot take {batch} images at once", evidence=evidence, do="leave --batch at 1 for this model"
        )


@contextmanager
def refusals(path: str, chosen: Chosen) -> Iterator[None]:
    """What the runtime raises inside this block is the model's fault and becomes a ModelError."""
    try:
        yield
    except (ValueError, RuntimeError) as error:
        raise refusal(path, chosen.title, str(error)) from error


def refusal(path: str, runtime: str, message: str) -> ModelError:
    """The ModelError for a runtime's message; the known ones say which operator and what to do."""
    evidence = message.strip()
    version = re.search(r"Didn't find op for builtin opcode '(\w+)' version '(\d+)'", message)
    if version:
        return ModelError(
            f"{runtime} cannot load {path}: it does not know {version[1]} version {version[2]}",
            evidence=evidence,
            do=f"convert it for {runtime}, or run it with a newer one: pip install --upgrade ai-edge-litert",
        )
    if re.search(r"Flex|Select TensorFlow op|Regular TensorFlow ops", message):
        return ModelError(
            f"{runtime} cannot load {path}: it contains TensorFlow (Flex) operators",
            evidence=evidence,
            do="convert it with builtin operators only; neither small runtime has Flex",
        )
    custom = re.search(r"unresolved custom op: (\w+)", message)
    if custom:
        return ModelError(
            f"{runtime} cannot load {path}: it contains the custom operator {custom[1]}",
            evidence=evidence,
            do="replace the layer that makes it, or use the runtime that brings this operator",
        )
    return ModelError(
        f"{runtime} refuses {path}",
        evidence=evidence,
        do="check that the file is whole (size, SHA-256); if it is, convert it in another mode",
    )


def tensors(details: List[Dict[str, Any]]) -> List[Tensor]:
    """What `get_input_details` or `get_output_details` say, as records."""
    return [
        Tensor(
            name=str(detail["name"]),
            dtype=np.dtype(detail["dtype"]).name,
            shape=tuple(int(size) for size in detail["shape"]),
            scale=float(detail["quantization"][0]),
            zero_point=int(detail["quantization"][1]),
        )
        for detail in details
    ]
