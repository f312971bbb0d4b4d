#!/usr/bin/env python3
"""Ask real runtimes which operators and versions they know, and keep the answers with their date.

    python scripts/probe_runtimes.py ai-edge-litert tflite-runtime        those of this environment
    python scripts/probe_runtimes.py ai-edge-litert --at FOLDER            of `pip install --target FOLDER`

An interpreter resolves every operator code of a file when it is made, also those that no operator uses:
a file with one code, a version of it and no operators either loads or is refused. TFLite Micro resolves the
codes of operators only, in their order, and disregards versions (where that is written: rules/runtimes.py): its
file has one operator of the code, and then one that nobody knows, so that nothing is ever prepared, and the name
in the refusal tells which was missed.
Runs in child processes: a code that crashes a runtime costs that child alone, and counts as unknown.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import struct
import subprocess
import sys
from pathlib import Path

from tflite_edge.flatbuffer.schema import BUILTIN_OPERATORS, CUSTOM

TABLE = Path(__file__).resolve().parent.parent / "tflite_edge" / "flatbuffer" / "rules" / "runtimes.json"
VERSIONS = 24  # the highest of any operator in TF 2.21 is 14
BATCH = 30  # operator codes in one child
DEADLINE_S = 120
NOBODY = "nobody-knows-this"
SECOND = "op code CUSTOM"  # TFLite Micro's word for an operator without a kernel names the builtin code alone

CHILD = r"""
import importlib.metadata, json, os, struct, sys
paper = json.load(sys.stdin)
package = paper["package"]
if package == "tflite-micro":
    from tflite_micro.python.tflite_micro import runtime
    make = runtime.Interpreter.from_bytes
elif package == "tflite-runtime":
    from tflite_runtime.interpreter import Interpreter
    make = lambda data: Interpreter(model_content=data)
else:
    from ai_edge_litert.interpreter import Interpreter
    make = lambda data: Interpreter(model_content=data)
# Only what the process can import is probed: a --target folder stands first on the path.
print(json.dumps({"version": importlib.metadata.version(package)}), flush=True)
data = bytearray.fromhex(paper["file"])
for code in paper["codes"]:
    known = []
    print(json.dumps({"begin": code}), flush=True)
    for version in paper["versions"]:
        struct.pack_into("<b", data, paper["old"], min(code, 127))
        struct.pack_into("<i", data, paper["new"], code)
        struct.pack_into("<i", data, paper["version"], version)
        try:
            make(bytes(data))
        except (ValueError, RuntimeError) as error:
            refused = "Didn't find op" in str(error) or "builtin_code out of range" in str(error)
            if not refused and package != "tflite-micro":  # which writes its reason on stderr
                raise
            continue
        known.append(version)
    print(json.dumps({"code": code, "known": known}), flush=True)
"""


def template(operators: bool = False) -> tuple[bytes, dict[str, int]]:
    """A file with one operator code, and where its old code, its code and its version lie."""
    first, second = _file(77, operators), _file(78, operators)
    old = next(at for at, (a, b) in enumerate(zip(first, second, strict=True)) if a != b)
    new, version = (first.index(struct.pack("<i", number)) for number in (0x12345678, 0x23456789))
    return first, {"old": old, "new": new, "version": version}


def _file(old: int, operators: bool) -> bytes:
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    made, code, graph = schema.ModelT(), schema.OperatorCodeT(), schema.SubGraphT()
    code.deprecatedBuiltinCode, code.builtinCode, code.version = old, 0x12345678, 0x23456789
    made.version, made.operatorCodes, made.subgraphs, made.buffers = 3, [code], [graph], [schema.BufferT()]
    graph.tensors, graph.inputs, graph.outputs, graph.operators = [], [], [], []
    if operators:
        nobody = schema.OperatorCodeT()
        nobody.deprecatedBuiltinCode = nobody.builtinCode = CUSTOM
        nobody.customCode = NOBODY
        made.operatorCodes.append(nobody)
        for number in range(2):
            operator = schema.OperatorT()
            operator.opcodeIndex, operator.inputs, operator.outputs = number, [], []
            # The Python package counts the names in these before it begins, and no other operator looks at them.
            operator.builtinOptionsType = schema.BuiltinOptions.VarHandleOptions
            operator.builtinOptions = schema.VarHandleOptionsT()
            operator.builtinOptions.container = operator.builtinOptions.sharedName = ""
            graph.operators.append(operator)
    builder = flatbuffers.Builder(512)
    builder.Finish(made.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def probe(package: str, codes: list[int], folder: str = "") -> tuple[str, dict[str, list[int]]]:
    """(version of the runtime, operator -> versions that it knows)."""
    file, places = template()
    version, known, left = "", {}, list(codes)
    while left:
        paper = {"package": package, "file": file.hex(), "codes": left[:BATCH], **places}
        paper["version"], paper["versions"] = places["version"], list(range(1, VERSIONS + 1))
        done, begun = 0, None
        for line in _ask(paper, folder).splitlines():
            answer = json.loads(line)
            version = answer.get("version", version)
            begun = answer.get("begin", begun)
            if "known" in answer:
                done += 1
                if answer["known"]:
                    known[BUILTIN_OPERATORS[answer["code"]]] = answer["known"]
        if not version:
            raise SystemExit(f"{package} cannot be imported here")
        if done < len(paper["codes"]):
            print(f"{package} {version}: {BUILTIN_OPERATORS[begun or 0]} ended the child", file=sys.stderr)
            done += 1
        left = left[done:]
    return version, known


def probe_micro(codes: list[int], folder: str = "") -> tuple[str, dict[str, list[int]]]:
    """The same of TFLite Micro's Python interpreter. Its resolver knows no versions: [] stands for every one."""
    file, places = template(operators=True)
    version, known, left = "", {}, list(codes)
    while left:
        paper = {"package": "tflite-micro", "file": file.hex(), "codes": left, "versions": [1], **places}
        head, *talks = _ask(paper, folder, stderr=True).split('{"begin": ')
        version = json.loads(head.splitlines()[0])["version"] if head.startswith("{") else version
        if not talks:
            raise SystemExit("tflite-micro cannot be imported here")
        for talk in talks:
            name = BUILTIN_OPERATORS[int(talk.partition("}")[0])]
            if "Traceback" in talk:  # not the runtime's refusal, which the child catches
                raise SystemExit(f"tflite-micro {version} cannot be asked for {name}: {talk.splitlines()[-1]}")
            if SECOND in talk:  # the first operator was found, and the second, which nobody knows, was not
                known[name] = []
        if len(talks) < len(left):
            print(f"tflite-micro {version}: {name} ended the child", file=sys.stderr)
        left = left[len(talks) :]
    return version, known


def _ask(paper: dict[str, object], folder: str, *, stderr: bool = False) -> str:
    path = os.pathsep.join(filter(None, [folder, os.environ.get("PYTHONPATH", "")]))
    try:
        done = subprocess.run(
            [sys.executable, "-c", CHILD], input=json.dumps(paper), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT if stderr else subprocess.PIPE,
            timeout=DEADLINE_S, check=False, env={**os.environ, "PYTHONPATH": path},
        )  # fmt: skip
    except subprocess.TimeoutExpired as late:
        return late.stdout.decode() if isinstance(late.stdout, bytes) else late.stdout or ""
    return done.stdout


def keep(package: str, version: str, known: dict[str, list[int]], table: Path = TABLE) -> None:
    """Lay one runtime's answers over the table; written whole or not at all."""
    kept = json.loads(table.read_text()) if table.exists() else {}
    today = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
    operators = {name: span(versions) for name, versions in sorted(known.items())}
    kept.setdefault(package, {})[version] = {"probed": today, "operators": operators}
    part = table.with_suffix(".part")
    part.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")
    part.replace(table)


def span(versions: list[int]) -> str:
    """ "1-7" where none between is missing, else "1,3,4"; "any" where the runtime looks at no version."""
    if not versions:
        return "any"
    if versions == list(range(versions[0], versions[-1] + 1)):
        return f"{versions[0]}-{versions[-1]}"
    return ",".join(map(str, versions))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("packages", nargs="+", choices=["ai-edge-litert", "tflite-runtime", "tflite-micro"])
    parser.add_argument("--at", default="", metavar="FOLDER", help="where `pip install --target` put the package")
    given = parser.parse_args()
    codes = [code for code, name in enumerate(BUILTIN_OPERATORS) if code != CUSTOM and "PLACEHOLDER" not in name]
    for package in given.packages:
        micro = package == "tflite-micro"
        version, known = probe_micro(codes, given.at) if micro else probe(package, codes, given.at)
        keep(package, version, known)
        print(f"{package} {version}: {len(known)} operators")


if __name__ == "__main__":
    main()
