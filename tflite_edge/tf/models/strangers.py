"""What a model file would do while it is loaded, read from the file alone, before any loader sees it.

Model files come from strangers. Keras and TensorFlow look up by name, and run, much of what a file names:
layer classes, functions of TensorFlow, graph operators. Names outside the tables of `harmless` are refused.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tflite_edge.records.errors import ModelError
from tflite_edge.tf.models import harmless

ALLOW = "if you trust whoever made it, add --allow-code"
MEMBERS = {"metadata.json", "config.json", "model.weights.h5"}
# Keys whose strings Keras resolves to a function or a class of its own.
RESOLVED = ("activation", "initializer", "regularizer", "constraint")


def is_archive(path: Path) -> bool:
    """Whether Keras (2 and 3) opens the file as a .keras archive.

    The name decides too: a file can be HDF5 and a zip at once, and what is inspected must be what is loaded.
    """
    return str(path).endswith(".keras") and zipfile.is_zipfile(path)


def refuse_keras_file(path: Path, config: Any, *, allow_code: bool) -> None:
    """Refuse a .h5 or .keras file of Keras 2 or 3 that runs code, or whose weights lie in other files.

    config: the file's model configuration as json.loads gives it. The file must be loaded with compile=False.
    Raises ModelError.
    """
    if allow_code:
        return
    if is_archive(path) and isinstance(config, dict):  # compile=False drops it
        config = {key: value for key, value in config.items() if key != "compile_config"}
    _refuse(f"{path} would run code of whoever made it", code_in(config))
    _refuse(f"{path} takes data from other files", _elsewhere(path))


def refuse_saved_model(path: Path, *, allow_code: bool) -> None:
    """Refuse a SavedModel folder whose graph does more than compute. Raises ModelError."""
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    proto = SavedModel()
    try:
        proto.ParseFromString((path / "saved_model.pb").read_bytes())
    except (OSError, DecodeError) as error:
        raise ModelError(
            f"{path} is not a SavedModel", evidence=str(error), do="a folder with saved_model.pb"
        ) from error
    if not proto.meta_graphs:
        raise ModelError(f"{path} is not a SavedModel", evidence="it holds no graph", do="export it again")
    if not allow_code:
        _refuse(f"{path} reaches outside of its graph", reaching_in(proto))


def _refuse(what: str, found: Iterable[str]) -> None:
    listed = sorted(set(found))
    if listed:
        more = [f"and {len(listed) - 5} more"] if len(listed) > 5 else []
        raise ModelError(what, evidence="\n".join([*listed[:5], *more]), do=ALLOW)


# --- Keras configurations ---------------------------------------------------------------------------------


def code_in(config: Any) -> Iterator[str]:
    """Everything in a configuration of Keras 2 or 3 that is not known to be data, as a sentence each.

    Covers Keras 2's legacy form (class_name, config), the form with module and registered_name, nested models
    and wrapped layers.
    """
    waiting: list[tuple[Any, str]] = [(config, "")]  # a stack, because nesting may be deeper than Python's own
    while waiting:
        node, layer = waiting.pop()
        if isinstance(node, list):
            waiting += [(item, layer) for item in node]
        elif isinstance(node, dict):
            inner = node.get("config")
            name = inner.get("name") if isinstance(inner, dict) else None
            layer = name if isinstance(name, str) else layer
            yield from (f"{found} (layer {layer!r})" for found in _code_at(node))
            waiting += [(value, layer) for value in node.values()]
        elif node == "_COMPOSITE_TYPE":  # is followed by a string of JSON with classes of its own
            yield f"a composite tensor (layer {layer!r})"


def _code_at(node: dict[str, Any]) -> Iterator[str]:
    if "class_name" in node:
        yield from _foreign_class(node)
    if "function_type" in node:
        yield "a marshalled function"
    for key, value in node.items():
        if key.endswith(RESOLVED) and isinstance(value, str) and not _is_known(value):
            yield f"{key} {value!r}"


def _is_known(name: str) -> bool:
    return name in harmless.FUNCTIONS or name in harmless.PARTS or name in harmless.LAYERS


def _foreign_class(node: dict[str, Any]) -> Iterator[str]:
    kind, registered, module = node["class_name"], node.get("registered_name"), node.get("module")
    inner = node.get("config")
    if kind == "function":
        # Keras 2 takes either name, depending on the module.
        yield from (f"function {name!r}" for name in (inner, registered or inner) if not _is_function(name))
    elif not isinstance(kind, str) or _plain(kind) not in harmless.CLASSES:
        yield f"{kind} layer or object" + (f" from the module {module!r}" if module is not None else "")
        return
    elif registered is not None and not (isinstance(registered, str) and _plain(registered) in harmless.CLASSES):
        yield f"{kind} registered as {registered!r}"
    if module is not None and not _is_trusted(module, kind):
        yield f"{kind} from the module {module!r}"
    if kind in ("TFOpLambda", "SlicingOpLambda"):
        symbol = inner.get("function") if isinstance(inner, dict) else None
        if not (isinstance(symbol, str) and _computes(symbol)):
            yield f"TensorFlow function {symbol!r}"


def _is_function(name: Any) -> bool:
    return isinstance(name, str) and name in harmless.FUNCTIONS


def _plain(name: str) -> str:
    """`Custom>Name` is how a class registered with Keras is written; only imported packages register any."""
    return name.rsplit(">", maxsplit=1)[-1]


def _is_trusted(module: Any, kind: str) -> bool:
    """Whether Keras may import the module: only its own, and those that the class is known to come from."""
    if not isinstance(module, str):
        return False
    root = module.split(".")[0]
    if root == "tensorflow_model_optimization":
        return _plain(kind) in harmless.WRAPPERS
    if root == "builtins":
        return kind in ("function", "slice")
    return root in ("keras", "tf_keras") or (module == harmless.INITIALIZERS_OF_TENSORFLOW and kind in harmless.PARTS)


def _computes(symbol: str) -> bool:
    """Whether a symbol such as math.multiply, compat.v1.gather or __operators__.add is a table's."""
    space, _, name = symbol.removeprefix("compat.v1.").rpartition(".")
    if space == "keras.activations":
        return name in harmless.FUNCTIONS
    return space in harmless.NAMESPACES and name in harmless.SYMBOLS


# --- HDF5 -------------------------------------------------------------------------------------------------


def _elsewhere(path: Path) -> Iterator[str]:
    """Members of an archive that no layer of ours needs, and HDF5 data kept in other files."""
    import h5py

    try:
        if not is_archive(path):
            with h5py.File(path, "r") as file:
                yield from links_in(file)
            return
        with zipfile.ZipFile(path) as archive:
            # Assets are unpacked to disk before anything looks at them; only vocabularies need them.
            yield from (f"member {name!r}" for name in archive.namelist() if name not in MEMBERS)
            with h5py.File(io.BytesIO(archive.read("model.weights.h5")), "r") as file:
                yield from links_in(file)
    except (OSError, KeyError, ValueError, RuntimeError, zipfile.BadZipFile) as error:
        raise ModelError(
            f"{path} is truncated or not a Keras model", evidence=str(error), do="export it again"
        ) from error


def links_in(file: Any) -> Iterator[str]:
    """External links, external storage and virtual data sets of an open h5py.File: each names another file.

    HDF5 User's Guide, "External storage"; with them a model would take any readable file as its weights.
    """
    import h5py

    groups, seen = [file["/"]], {file["/"].id}
    while groups:
        group = groups.pop()
        for name in group:
            link = group.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink):
                yield f"{type(link).__name__} {group.name.rstrip('/')}/{name}"
                continue
            item = group[name]
            if isinstance(item, h5py.Dataset) and (item.external or item.is_virtual):
                yield f"data set {item.name} kept in another file"
            elif isinstance(item, h5py.Group) and item.id not in seen:
                seen.add(item.id)  # hard links may go in circles
                groups.append(item)


# --- SavedModel -------------------------------------------------------------------------------------------


def reaching_in(proto: Any) -> Iterator[str]:
    """Everything in a SavedModel proto that is not known to be computation, as a sentence each.

    tf.saved_model.load runs functions of the file: creators, initialisers and restorers of resources. So every
    function counts, but for those that only the saver calls: TensorFlow 2 restores checkpoints by code of its own.
    """
    if len(proto.meta_graphs) != 1 or not proto.meta_graphs[0].HasField("object_graph_def"):
        yield "a graph of TensorFlow 1, whose initialisers would be run"
    for meta in proto.meta_graphs:
        for asset in meta.asset_file_def:
            yield f"asset {asset.filename!r}"
        for node in meta.object_graph_def.nodes:
            # The constant is read from the graph; any other registered class is one of Python.
            names = {node.registered_name, node.registered_saver} - {"", "tf.TrackableConstant"}
            yield from (f"registered {name!r}" for name in names)
        functions = {function.signature.name: function for function in meta.graph_def.library.function}
        of_saver = _only_of_saver(meta, functions)
        saving = harmless.OPERATORS | harmless.SAVER_OPERATORS
        yield from _foreign_operators(meta.graph_def.node, saving, functions)
        for name, function in functions.items():
            allowed = saving if name in of_saver else harmless.OPERATORS
            yield from _foreign_operators(function.node_def, allowed, functions)


def _foreign_operators(nodes: Any, allowed: frozenset[str], functions: dict[str, Any]) -> Iterator[str]:
    for node in nodes:
        if node.op not in allowed and node.op not in functions:
            yield f"operator {node.op} ({node.name})"


def _only_of_saver(meta: Any, functions: dict[str, Any]) -> set[str]:
    """Names of the functions that nothing but the nodes named in saver_def can call."""
    saver = meta.saver_def
    own = {name.split(":")[0] for name in (saver.save_tensor_name, saver.restore_op_name) if name}
    nodes = meta.graph_def.node
    of_saver = _reached((node for node in nodes if node.name in own), functions)
    others = (name for name in functions if name not in of_saver)
    callable_ = {*others, *meta.object_graph_def.concrete_functions}
    bodies = [node for name in callable_ if name in functions for node in functions[name].node_def]
    main = [node for node in nodes if node.name not in own]
    return of_saver - callable_ - _reached([*bodies, *main], functions)


def _reached(nodes: Iterable[Any], functions: dict[str, Any]) -> set[str]:
    """Names of the functions that the nodes call, directly or through others."""
    waiting, reached = list(nodes), set()
    while waiting:
        for name in _called(waiting.pop()):
            if name in functions and name not in reached:
                reached.add(name)
                waiting += functions[name].node_def
    return reached


def _called(node: Any) -> Iterator[str]:
    yield node.op  # a function's name may stand as an operator
    for value in node.attr.values():
        yield from (function.name for function in (value.func, *value.list.func) if function.name)
