"""What edgetpu_compiler leaves of a model, made here: the program itself is for x86-64 Debian and runs nowhere else."""

from tflite_edge.flatbuffer.edit import Node, dump, load
from tflite_edge.records.card import EDGETPU_OP

CUSTOM = {"deprecated_builtin_code": 32, "builtin_code": 32, "custom_code": EDGETPU_OP.encode()}


def with_code(model: bytes) -> bytes:
    """`model` with Coral's operator among its codes and used by none: it runs where a driver takes no operator."""
    tree = load(model)
    tree["operator_codes"].append(Node("OperatorCode", dict(CUSTOM)))
    return dump(tree)


def compiled(model: bytes) -> bytes:
    """`model` with all of its operators in one of Coral's, without its instructions."""
    tree = load(model)
    tree["operator_codes"] = [Node("OperatorCode", dict(CUSTOM))]
    graph = tree["subgraphs"][0]
    graph["operators"] = [Node("Operator", {"inputs": graph["inputs"], "outputs": graph["outputs"]})]
    return dump(tree)
