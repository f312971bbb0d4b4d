"""Each rule on a model that keeps it and on one that breaks it, the probed tables, and the runtime contract."""

import importlib.util
import inspect
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.flatbuffer import tiny
from tests.flatbuffer.tiny import Op, T
from tflite_edge.flatbuffer import rules
from tflite_edge.flatbuffer.rules import TARGETS, kernels, look, place
from tflite_edge.flatbuffer.rules.boards import on_board
from tflite_edge.flatbuffer.rules.contract import contract
from tflite_edge.flatbuffer.rules.runtimes import find, known
from tflite_edge.records.board import BOARDS
from tflite_edge.records.errors import ModelError, UsageError

ROOT = Path(__file__).parents[2]
LITERT, LITE, MICRO = "ai-edge-litert==2.3", "tflite-runtime==2.14", "tflite-micro"


def dense(**changes):
    """int8_model, its tensors changed by name."""
    tensors = [replace(t, **changes.get(t.name, {})) for t in tiny.quantized("INT8")]
    return tiny.build(tensors, [replace(tiny.DENSE, **changes.get("op", {}))])


def unary(name, dtype="INT8", shape=(1, 4), scales=1, out=None, version=1, inputs=("x",), **x):
    tensors = [T("x", dtype, shape, scales, **x), T("y", dtype, out or shape, scales)]
    return tiny.build(tensors, [Op(name, inputs, ("y",), version)])


def transposed():
    """A transposed convolution in dynamic range: float values beside int8 weights."""
    tensors = [
        T("s", "INT32", (4,), constant=True),
        T("w", "INT8", (4, 3, 3, 2), 1, constant=True),
        T("x", shape=(1, 4, 4, 2)),
        T("y", shape=(1, 4, 4, 4)),
    ]
    return tiny.build(tensors, [Op("TRANSPOSE_CONV", ("s", "w", "x"), ("y",), 2)])


INT8 = dense()
# (target, rule) -> a model that breaks it; INT8 keeps all rules of all targets that take int8.
BREAKS = {
    ("coral-usb", "quantized"): tiny.float_model(),
    ("coral-usb", "static_shapes"): dense(x={"signature": (-1, 4)}),
    ("coral-usb", "three_inner_axes"): unary("RELU", shape=(2, 4, 4, 4)),
    ("coral-usb", "constant_weights"): dense(w={"constant": False}),
    ("coral-usb", "dense_storage"): tiny.pack(tiny.sparse_model(direct=True)),
    ("coral-usb", "known_version"): unary("CONV_2D", version=6),
    ("coral-usb", "one_axis_output"): dense(y={"shape": (3, 8)}),
    ("coral-usb", "short_softmax"): unary("SOFTMAX", shape=(1, 16_001)),
    ("coral-usb", "not_the_batch"): unary("PAD", out=(3, 4)),
    ("xnnpack", "types"): unary("RELU", "INT16"),
    ("xnnpack", "int8_kernels"): unary("FLOOR"),
    ("xnnpack", "fixed_weights"): dense(w={"constant": False}),
    ("mcu", "types"): unary("RELU", "FLOAT16", scales=0),
    ("mcu", "stored_shapes"): dense(x={"shape": (-1, 4)}),
    ("mcu", "kernel_types"): unary("EXP"),
    ("mcu", "not_hybrid"): tiny.dynamic_model(),
    ("ethos-u55-256", "types"): tiny.float_model(),
    ("ethos-u55-256", "four_axes"): unary("RELU", shape=(1, 70_000)),
    ("ethos-u55-256", "quantized"): unary("RELU", scales=0),
    ("ethos-u55-256", "per_axis"): unary("RELU", scales=4),
    ("ethos-u55-256", "batch_of_one"): unary("RELU", shape=(2, 4, 4, 4)),
}
KEEPS = {"mcu": INT8, "coral-usb": INT8, "xnnpack": INT8, "ethos-u55-256": INT8}


def every_rule(rule_set):
    return [*rule_set.every, *(rule for own in rule_set.operators.values() for rule in own)]


@pytest.mark.parametrize(("target", "rule"), BREAKS, ids=lambda value: value)
def test_each_rule_is_broken_by_one_model_and_kept_by_another(target, rule):
    row = place(target, look(BREAKS[target, rule])).rows[0]
    listed = {one.__name__: one for one in every_rule(TARGETS[target])}
    assert not row.mapped
    assert row.rule == rules.sentence(listed[rule])
    assert row.evidence
    assert row.do == TARGETS[target].edits[rule]
    assert all(one.mapped for one in place(target, look(KEEPS[target])).rows)


def test_every_rule_has_a_sentence_and_an_edit_or_none_that_is_unknown():
    for one in TARGETS.values():
        listed = [*every_rule(one), *one.whole]
        assert {rule.__name__ for rule in listed} >= set(one.edits)
        for rule in listed:
            assert inspect.getdoc(rule)
            assert one.edits[rule.__name__]


def test_a_layer_that_a_microcontroller_lacks_is_fatal_and_several_scales_are_not():
    hybrid, several = place("mcu", look(tiny.dynamic_model())), place("mcu", look(INT8))
    assert [finding.fatal for finding in hybrid.findings] == [True]
    assert "the model does not start" in hybrid.findings[0].what
    assert [(finding.fatal, finding.what[:13]) for finding in several.findings] == [(False, "Dense weights")]
    assert place("mcu", look(dense(w={"scales": 1}))).findings == ()


def test_a_loop_s_body_needs_its_kernels_as_well():
    made, body = (tiny.model([T("x"), T("y")], [Op(name, ("x",), ("y",))]) for name in ("TANH", "TOPK_V2"))
    made.subgraphs += body.subgraphs
    made.operatorCodes += body.operatorCodes
    made.subgraphs[1].operators[0].opcodeIndex = 1
    looped = look(tiny.pack(made))
    micro, xnnpack = place("mcu", looped), place("xnnpack", looped)
    assert [(row.place, row.mapped) for row in micro.rows] == [("0", True), ("0 of subgraph 1", False)]
    assert micro.findings[0].fatal
    assert micro.findings[0].what.startswith("#0 of subgraph 1 TOPK_V2 does not run")
    assert micro.scope == ""
    assert [row.name for row in xnnpack.rows] == ["TANH"]
    assert xnnpack.scope == "the first of 2 subgraphs, signature 'serving_default'"


def test_a_microcontroller_keeps_state_in_variables():
    state = look(tiny.build([T("x"), T("y", "RESOURCE")], [Op("VAR_HANDLE", (), ("y",))]))
    assert place("mcu", state).cut is None
    assert [finding.fatal for finding in contract(state, find(MICRO)[0])] == [False]


def test_one_version_that_the_edge_tpu_compiler_does_not_know_costs_the_whole_file():
    tensors = [*tiny.quantized("INT8"), T("z", "INT8", (1, 8), 1)]
    placed = place("coral-usb", look(tiny.build(tensors, [tiny.DENSE, Op("EXP", ("y",), ("z",), 2)], outputs=("z",))))
    assert [row.mapped for row in placed.rows] == [False, False]
    assert "refuses a whole file" in placed.findings[0].evidence
    assert "#1 EXP 2, known to 1" in placed.findings[0].evidence


def test_weights_that_are_unfolded_at_loading_are_constants_to_xnnpack():
    assert [row.mapped for row in place("xnnpack", look(tiny.float16_model())).rows] == [True, True]
    assert [row.mapped for row in place("xnnpack", look(tiny.dynamic_model())).rows] == [True]


DELEGATED = """
import sys
from ai_edge_litert.interpreter import Interpreter
for path in sys.argv[1:]:
    asked = Interpreter(path)
    asked.allocate_tensors()
    print([made["op_name"] for made in asked._get_ops_details()].count("DELEGATE"))
"""


def test_xnnpack_s_rules_are_what_the_installed_delegate_takes(tmp_path):
    pytest.importorskip("ai_edge_litert")
    names = ("FLOOR", "GELU", "HARD_SWISH", "LOGISTIC", "RELU", "RSQRT", "SQUEEZE", "TANH")
    models = [unary(name, "FLOAT32", scales=0) for name in names]
    models += [unary(name, version=2) for name in ("RELU", "TANH", "GELU")]
    models += [INT8, tiny.dynamic_model(), tiny.float16_model()]
    paths = [tmp_path / f"{number}.tflite" for number in range(len(models))]
    for path, model in zip(paths, models, strict=True):
        path.write_bytes(model)
    done = subprocess.run([sys.executable, "-c", DELEGATED, *paths], capture_output=True, text=True, check=True)
    ruled = [all(row.mapped for row in place("xnnpack", look(model)).rows) for model in models]
    assert ruled == [line == "1" for line in done.stdout.split()]
    assert {True, False} == set(ruled)


def test_parameters_that_do_not_fit_the_chip_are_a_finding():
    model = look(INT8)
    weights = replace(model.facts.weights, size_bytes=9_000_000)
    found = place("coral-usb", replace(model, facts=replace(model.facts, weights=weights))).findings
    assert [finding.what.startswith("All parameters fit the 8 MB") for finding in found] == [True]
    assert "9,000,000 bytes" in found[0].evidence
    assert place("coral-usb", model).findings == ()


def test_the_first_unmapped_operator_cuts_the_graph_on_coral_alone():
    model = look(tiny.int8_with_float_island())
    coral = place("coral-usb", model)
    assert (coral.cut, [row.mapped for row in coral.rows], coral.macs_share) == (1, [True, False, False, False], 1.0)
    assert "3 of 4 operators run on the CPU" in coral.findings[0].what
    assert place("ethos-u55-256", model).rows[0].mapped
    edged = place("coral-usb", look(tiny.edged("FLOAT32", tiny.quantized("INT8"), [tiny.DENSE])))
    assert (edged.cut, [row.mapped for row in edged.rows]) == (None, [False, True, False])


def whats(model, runtime):
    return [(finding.what, finding.fatal) for finding in contract(look(model), find(runtime)[0])]


def test_a_newer_version_does_not_load_and_the_finding_says_what_to_do():
    model = dense(op={"version": 12})
    (finding,) = contract(look(model), find(LITE)[0])
    assert finding.fatal
    assert finding.what.startswith("FULLY_CONNECTED version 12 does not load on tflite-runtime 2.14.0")
    assert "1 to 10" in finding.what
    assert finding.evidence == "#0 -> y"
    assert finding.do.startswith("convert with --runtime tflite-runtime==2.14.0, which gives dense layers one scale;")
    assert finding.do.endswith("run it on ai-edge-litert 2.3.0")
    assert whats(model, LITERT) == []
    assert whats(INT8, LITE) == []


def test_a_cure_says_only_what_helps():
    (log,) = contract(look(unary("LOG", version=2)), find(LITE)[0])
    assert "--runtime" not in log.do
    assert "float32 or float16" in log.do
    (newer,) = contract(look(unary("TANH", "FLOAT32", scales=0, version=99)), find(LITE)[0])
    assert newer.do == "use layers without it"
    nobody = contract(look(unary("RELU", version=99)), find(MICRO)[0]) + contract(
        look(unary("STABLEHLO_CASE")), find(MICRO)[0]
    )
    assert [finding.do for finding in nobody] == ["use layers without it"]


def test_types_that_a_kernel_refuses_are_cured_by_what_ran():
    (rsqrt,) = contract(look(unary("RSQRT", "INT16")), find(LITE)[0])
    assert rsqrt.evidence == "RSQRT #0 -> y: int16>int16"
    assert rsqrt.do == "convert with --quantize int8 or float32; or run it on ai-edge-litert 2.3.0"
    (difference,) = contract(look(unary("SQUARED_DIFFERENCE", "INT16")), find(LITE)[0])
    assert "run it on" not in difference.do  # it ends the process of ai-edge-litert
    assert whats(unary("RELU", "INT16"), LITE) == []


def test_custom_operators_of_the_wheels_are_known_and_others_are_not():
    def custom(name):
        return look(tiny.build([tiny.X, T("y")], [Op("CUSTOM", ("x",), ("y",), custom=name)]))

    assert contract(custom("TFLite_Detection_PostProcess"), find(LITE)[0]) == []
    on_micro = contract(custom("TFLite_Detection_PostProcess"), find(MICRO)[0])[0]
    assert on_micro.fatal
    assert "not builtins" in on_micro.what
    (row,) = place("mcu", custom("Mine")).rows
    assert (row.mapped, "not a builtin" in row.rule, "AddCustom" in row.do) == (False, True, True)
    assert contract(custom("Convolution2DTransposeBias"), find(LITERT)[0])[0].fatal


def test_a_board_s_best_runtime_comes_first():
    newer = look(dense(op={"version": 12}))
    assert [(one.runtime, one.loads) for one in on_board(newer, BOARDS["pi4"])] == [
        ("ai-edge-litert", True),
        ("tflite-runtime", False),
    ]
    assert [one.loads for one in on_board(newer, BOARDS["pi4-32"])] == [False]
    assert [one.runtime for one in on_board(look(INT8), BOARDS["pi4"])] == list(BOARDS["pi4"].runtimes)
    sparse = look(tiny.pack(tiny.sparse_model()))
    assert [one.runtime for one in on_board(sparse, BOARDS["pi5"]) if one.loads] == ["tflite-runtime"]


@pytest.mark.parametrize(
    ("model", "runtime", "words"),
    [
        (unary("RSQRT", "INT16"), LITE, "no kernel for the types"),
        (unary("EXP", "INT16"), MICRO, "a kernel for its types"),
        (transposed(), LITE, "no kernel for the types"),
        (transposed(), MICRO, "not dynamic range"),
        (tiny.build([tiny.X, T("y")], [Op("CUSTOM", ("x",), ("y",), custom="Mine")]), LITE, "custom operators"),
        (tiny.build([tiny.X, T("y")], [Op("CUSTOM", ("x",), ("y",), custom="FlexErf")]), LITERT, "Flex delegate"),
        (tiny.pack(tiny.sparse_model()), LITERT, "stored sparsely"),
        (tiny.pack(tiny.sparse_model(direct=True)), LITE, "stored sparsely"),
        (tiny.pack(tiny.sparse_model()), MICRO, "sparse constants"),
        (dense(x={"shape": (-1, 4)}), MICRO, "has an axis of -1"),
        (unary("RESHAPE", out=(1, 2)), MICRO, "changes its size"),
        (tiny.dynamic_model(), MICRO, "not dynamic range"),
        (tiny.float16_model(), MICRO, "no float16 kernels"),
    ],
)
def test_what_versions_do_not_tell_does_not_load_either(model, runtime, words):
    found = [what for what, fatal in whats(model, runtime) if fatal]
    assert [words in what for what in found].count(True) == 1
    assert words not in str(whats(INT8, runtime))


def test_what_loads_and_misleads_is_a_finding_that_is_not_fatal():
    assert [fatal for what, fatal in whats(INT8, MICRO) if "a scale for each channel" in what] == [False]
    assert whats(dense(w={"scales": 1}), MICRO) == []
    open_batch = dense(x={"signature": (-1, 4)}, y={"signature": (-1, 8)}, w={"scales": 1})
    assert [(fatal, "a batch of 1" in what) for what, fatal in whats(open_batch, MICRO)] == [(False, True)]
    placed = place("mcu", look(open_batch))
    assert (placed.cut, [finding.fatal for finding in placed.findings]) == (None, [False])
    assert [fatal for what, fatal in whats(tiny.dynamic_model(), LITE) if "answer wrongly there" in what] == [False]
    assert whats(tiny.dynamic_model(), LITERT) == []
    said = tiny.build(tiny.quantized("INT8"), [tiny.DENSE], version_text="2.17.0")
    assert [fatal for what, fatal in whats(said, LITE) if "says that it needs runtime 2.17.0" in what] == [False]


def test_a_model_that_is_newer_than_the_schema_is_refused_by_name():
    made = tiny.model([tiny.X, T("y")], [Op("RELU", ("x",), ("y",))])
    made.operatorCodes[0].builtinCode, made.version = 300, 4
    found = whats(tiny.pack(made), LITERT)
    assert "schema version 4" in found[0][0]
    assert "BUILTIN_300 version 1 does not load" in found[1][0]


def test_what_is_unknown_is_refused_with_the_nearest():
    with pytest.raises(UsageError, match="'tflite-runtime'"):
        find("tflite-runtme")
    with pytest.raises(UsageError, match=r"tflite-runtime==2\.14\.0"):
        find("tflite-runtime==2.13")
    with pytest.raises(UsageError, match=r"ai-edge-litert==2\.3\.0"):
        find("ai-edge-litert==2.9")
    for wanted, nearest in (("2.1.9", "2.1.6"), ("1.9", "1.4.0"), ("0.9", "1.0.1"), ("3", "2.3.0")):
        with pytest.raises(UsageError, match=rf"nearest is ai-edge-litert=={nearest},"):
            find(f"ai-edge-litert=={wanted}")
    with pytest.raises(UsageError, match="libedgetpu was not probed"):
        find("libedgetpu")
    with pytest.raises(UsageError, match="'coral-usb'"):
        place("coral", look(INT8))
    with pytest.raises(ModelError, match="not a TFLite model"):
        look(b"not a model at all")


def script(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def probing():
    return script("probe_runtimes")


@pytest.mark.parametrize("package", ["tflite-runtime", "ai-edge-litert", "tflite-micro"])
def test_the_table_is_what_the_installed_runtime_answers(probing, package):
    pytest.importorskip(package.replace("-", "_"))
    names = ("ADD", "FULLY_CONNECTED", "LOG", "STABLEHLO_CASE", "DILATE", "CONV_2D", "VAR_HANDLE")
    codes = [probing.BUILTIN_OPERATORS.index(name) for name in names]
    version, answered = probing.probe_micro(codes) if package == "tflite-micro" else probing.probe(package, codes)
    if version not in known()[package]:
        pytest.skip(f"{package} {version} was not probed")
    table = find(f"{package}=={version}")[0].operators
    assert {name: probing.span(versions) for name, versions in answered.items()} == {
        name: table[name] for name in names if name in table
    }


@pytest.mark.parametrize("package", ["tflite-runtime", "ai-edge-litert", "tflite-micro"])
def test_the_table_of_kernels_is_what_the_installed_runtime_answers(package, tmp_path):
    pytest.importorskip(package.replace("-", "_"))
    models = [unary("EXP"), unary("RELU"), unary("SQUARED_DIFFERENCE", "INT16", inputs=("x", "x"))]
    paths = [tmp_path / f"{number}.tflite" for number in range(len(models))]
    for path, model in zip(paths, models, strict=True):
        path.write_bytes(model)
    version, answered = script("probe_kernels").probe(package, paths)
    table = kernels.asked(package, version)
    if not table:
        pytest.skip(f"{package} {version} was not asked")
    for name, answers in answered.items():
        for answer, types in answers.items():
            assert types in table[name][answer].split()


def test_a_table_is_laid_over_the_others(probing, tmp_path):
    table = tmp_path / "t.json"
    probing.keep("a", "1", {"ADD": [1, 2, 3], "LOG": [1, 3], "MUL": []}, table)
    probing.keep("b", "2", {"ADD": [1]}, table)
    kept = json.loads(table.read_text())
    assert kept["a"]["1"]["operators"] == {"ADD": "1-3", "LOG": "1,3", "MUL": "any"}
    assert kept["b"]["2"]["operators"] == {"ADD": "1-1"}
