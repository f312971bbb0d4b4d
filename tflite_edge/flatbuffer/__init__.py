"""Reads .tflite files without TensorFlow and without trusting them.

    facts = inspect("model.tflite")       what the bytes hold: types, operators, weights, sizes
    findings = check(facts, conversion)   which promises of the conversion they break
    check_trainable(facts, alone=...)     what keeps them from learning on a board
    refuse_sparse(facts, runtime)         what that runtime cannot do with sparse kernels

`reader` checks every position before it reads there; `graph` follows the indices; `scheme` names the
kind of quantisation; `schema` has the format's numbers. Whatever the bytes are, the answer is a value
or a ModelError.
"""

from tflite_edge.flatbuffer.claims import check, check_trainable, refuse_sparse
from tflite_edge.flatbuffer.facts import Facts, inspect

__all__ = ["Facts", "check", "check_trainable", "inspect", "refuse_sparse"]
