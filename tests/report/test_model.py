"""The report and the card of a model that was really run, and of what may be wrong with it."""

import json
import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.report import made
from tests.report.test_page import refuse_what_a_page_must_not_have
from tflite_edge.records.errors import EdgeError
from tflite_edge.records.estimate import Estimate, Prediction
from tflite_edge.records.job import CountResult
from tflite_edge.records.manifest import Manifest
from tflite_edge.records.plain import from_plain, to_plain
from tflite_edge.records.sensors import Energy
from tflite_edge.records.verdict import Finding
from tflite_edge.report import model
from tflite_edge.report.evidence import Evidence, nonsense, twins
from tflite_edge.report.model_card import model_card
from tflite_edge.report.page import html, markdown
from tflite_edge.report.words import wilson
from tflite_edge.reporting import evidence

COUNTED = {"alu": 600_000, "branch": 100_000, "fma": 300_000, "vector_load": 0}


@pytest.fixture(scope="module")
def found(build):
    return evidence(build[0])


def told(manifest, facts=None, **more):
    return html(model.page(Evidence(manifest, facts or {}, **more)))


def test_everything_is_told_of_what_was_run(found):
    assert not found.missing
    read = refuse_what_a_page_must_not_have(html(model.page(found)))
    for words in (
        "Accuracy, size and speed", "Verdicts, and why", "layer by layer", "What is taken for what", "Speed",
        "Where the bytes are", "What was done", "How to make it again", "static-wi8ai8", "median", "FULLY_CONNECTED",
        "tflite-edge convert manifest.json", "ai-edge-litert", "eins", "a note",
    ):  # fmt: skip
        assert words in read.text, words
    assert sum(tag == "svg" for tag, _ in read.elements) == 2 * sum(tag == "figure" for tag, _ in read.elements) == 10


def test_nothing_is_told_of_the_person(found):
    for text in (html(model.page(found)), markdown(model.page(found)), model_card(found.manifest)):
        assert "/srv" not in text
        assert "somebody" not in text
    assert "tflite-edge convert twins.h5 -o twins" in markdown(model.page(found))


def test_markdown_tells_the_same(found):
    page = model.page(found)
    text = markdown(page)
    for section in page.sections:
        assert f"## {section.title}" in text
    score = found.chosen.score
    assert f"{100 * score.top1:.2f}" in text
    assert f"{1e3 * found.chosen.bench.median_s:.4f}"[:6] in text


def test_the_headline_says_what_the_samples_can_tell(found):
    chosen = found.chosen
    for drop, words in (
        (0.0, "the same as the float model"),
        (0.5, "too few to tell"),
        (9.0, "points below the float"),
    ):
        variant = replace(chosen, drop=drop, drop_ci=1.0)
        manifest = replace(found.manifest, models=[variant])
        assert words in model.page(Evidence(manifest, {})).headline


def test_labels_that_are_code_stay_labels(found):
    labels = ["<script>alert(1)</script>", '"><img src=x onerror=y>', "\x1b[31m\u202ered", ""]
    source = replace(found.manifest.source, labels=labels, notes=["</table><script>"], model="<b>m</b>")
    text = told(replace(found.manifest, source=source, name="<i>n</i>"), found.facts)
    read = refuse_what_a_page_must_not_have(text)
    assert "<script>alert(1)</script>" in read.text
    card = model_card(replace(found.manifest, source=source, name='a"\n---\nb'))
    assert not re.search(r"(?<!\\)<", card.partition("\n---\n")[2])


def test_a_thousand_classes_are_limited_to_those_most_confused(found):
    score = replace(
        found.chosen.score, confusion={f"{n},{n}": 3 for n in range(1000)} | {f"{n},7": n for n in range(900, 990)}
    )
    labels = [f"class {n} 数" for n in range(1000)]
    manifest = replace(
        found.manifest,
        models=[replace(found.chosen, score=score)],
        source=replace(found.manifest.source, labels=labels),
    )
    text = told(manifest)
    assert len(text) < 300_000
    assert "The 20 classes of 1,000 with most errors" in text
    assert "class 989" in text
    assert "and 980 more" in model_card(manifest)


def test_labels_that_are_fewer_than_the_classes_are_numbers(found):
    source = replace(found.manifest.source, labels=["one"])
    assert "what it is" in told(replace(found.manifest, source=source))


def emulated(variant, predicted_s, **more):
    runtime = variant.score.runtime
    count = CountResult(runtime, "default", 1, [], [], COUNTED, 1_000_000, [1_000_000], 0.0, True, "exact")
    one = Prediction("pi4", "tflite-runtime", "builtin", 4, predicted_s, 0.0, 0.004, "MLCommons", "from counts", **more)
    return replace(variant, bench=None, estimate=Estimate("pi4", count, [one]))


def test_predictions_never_share_a_table_with_measurements(found):
    models = [emulated(found.manifest.models[0], 0.002, extrapolated=True), emulated(found.chosen, 0.001)]
    page = model.page(Evidence(replace(found.manifest, models=models), found.facts))
    text = markdown(page)
    assert "predicted, not measured, for pi4" in page.headline
    assert "Predicted for pi4, not measured" in text
    assert "extrapolated" in text
    assert "median ms" not in text
    assert "What pi4 executes for one inference" in text
    assert "| alu |" in text
    both = replace(found.manifest, models=[found.manifest.models[0], emulated(found.chosen, 0.001)])
    for table in re.findall(r"(?:^\|.*\n)+", markdown(model.page(Evidence(both, {}))), re.MULTILINE):
        assert not ("predicted" in table and "median" in table)


def test_a_refused_prediction_says_why(found):
    text = told(replace(found.manifest, models=[emulated(found.chosen, None)]))
    assert "Not predicted for tflite-runtime, builtin kernels, 4 threads on pi4: from counts." in text


def test_energy_is_measured_or_estimated_but_not_both_in_one(found):
    bench = replace(
        found.chosen.bench, energy=Energy(source="hwmon", joules=0.002, low_j=0.001, high_j=0.003, inferences=9)
    )
    guess = replace(found.chosen.bench, energy=Energy(why="no meter", estimate_j=0.5, estimate_source="a data sheet"))
    models = [replace(found.chosen, bench=bench), replace(found.chosen, bench=guess, scheme="other")]
    text = markdown(model.page(Evidence(replace(found.manifest, models=models), {})))
    assert "1 to 3" in text
    assert "500 mJ for one inference, estimated and not measured" in text
    assert not [
        table for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE) if "500" in table and "1 to 3" in table
    ]


def test_broken_promises_come_with_evidence_and_what_to_do(found):
    finding = Finding("accuracy is 9.00 points below", "90 % against 99 %", "more samples")
    bad = replace(found.chosen, verdict="degraded", findings=[finding])
    failed = replace(
        found.chosen, file="", verdict="failed", score=None, bench=None, scheme="dynamic-wi8af32", proof=""
    )
    manifest = replace(found.manifest, models=[bad, failed], verdict="failed")
    text = told(manifest)
    for words in ("accuracy is 9.00 points below", "90 % against 99 %", "do: more samples", "not made"):
        assert words in text


def test_steps_are_told_with_what_they_left_alone(found):
    source = replace(found.manifest.source, steps=[made.step()])
    text = markdown(model.page(Evidence(replace(found.manifest, source=source), {})))
    assert "prune left conv alone: few weights" in text
    assert "sparsity 0.5" in text


def test_nothing_made_is_a_page_as_well(found):
    manifest = replace(found.manifest, models=[], verdict="ok", complete=False)
    read = refuse_what_a_page_must_not_have(told(manifest))
    assert "Nothing was made of twins.h5" in read.text
    assert "The conversion is not finished" in read.text
    assert model_card(manifest)


@pytest.mark.parametrize("task", ["regression", "anomaly", "agreement"])
def test_other_tasks_have_other_words(found, task):
    figures = {
        "regression": {"top1": None, "confusion": None, "agreement": None, "mae": 0.25},
        "anomaly": {"top1": None, "confusion": None, "auc": 0.875},
        "agreement": {"top1": None, "confusion": None, "agreement": 0.99},
    }[task]
    score = replace(found.chosen.score, task=task, **figures)
    variant = replace(found.chosen, score=score, drop=None, drop_ci=None)
    source = replace(found.manifest.source, task=task, labels=[], keras_top1=None)
    manifest = replace(found.manifest, models=[variant], source=source)
    text = markdown(model.page(Evidence(manifest, {})))
    assert {"regression": "mean absolute error 0.25", "anomaly": "87.50 % AUC", "agreement": "99.00 % agreement"}[
        task
    ] in text
    card = model_card(manifest)
    assert {"regression": "- type: mae", "anomaly": "- type: roc_auc", "agreement": "library_name: tflite"}[
        task
    ] in card
    assert "pipeline_tag" not in card


def test_the_card_s_head_is_what_the_hub_reads(found):
    yaml = pytest.importorskip("yaml")
    head, text = model_card(found.manifest).removeprefix("---\n").split("\n---\n", 1)
    read = yaml.safe_load(head)
    assert read["library_name"] == "tflite"
    assert {"tflite", "quantized", "int8"} <= set(read["tags"])
    assert read["datasets"] == ["pack"]
    assert "license" not in read
    result = read["model-index"][0]["results"][-1]
    assert result["metrics"][0]["type"] == "accuracy"
    assert result["metrics"][0]["value"] == pytest.approx(found.chosen.score.top1)
    assert found.chosen.sha256 in text
    hostile = replace(found.manifest, name='a: "b"\n- c', source=replace(found.manifest.source, data="/x/: {y}.npz"))
    head = model_card(hostile).removeprefix("---\n").split("\n---\n", 1)[0]
    assert yaml.safe_load(head)["model-index"][0]["name"] == 'a: "b"\n- c'


def test_twins_are_of_what_was_made_before_the_originals_unless_it_was_trained_in_8_bits(found):
    float_file, int8 = found.manifest.models
    originals = [replace(float_file, original=True), replace(int8, original=True)]
    assert twins(found.manifest) == (float_file, int8)
    assert twins(replace(found.manifest, models=[*originals, int8])) == tuple(originals)
    assert twins(replace(found.manifest, models=[int8])) is None
    trained = replace(found.manifest.source, steps=[replace(made.step(), name="qat")])
    assert twins(replace(found.manifest, source=trained, models=[*originals, float_file, int8])) == tuple(originals)
    assert twins(replace(found.manifest, source=trained)) == (float_file, int8)


def test_a_share_s_interval_never_leaves_what_is_possible():
    assert wilson(1.0, 50)[1] == pytest.approx(1.0)
    assert wilson(0.0, 50)[0] == 0.0
    low, high = wilson(0.9, 100)
    assert (round(low, 4), round(high, 4)) == (0.8256, 0.9448)  # Wilson's interval of 90 of 100


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (lambda m: {"drop": float("nan")}, "twins-static-wi8ai8.tflite: drop: nan"),
        (lambda m: {"bytes": -1}, "bytes: -1"),
        (lambda m: {"score": replace(m.score, top1=1.5)}, "score.top1: 1.5"),
        (lambda m: {"score": replace(m.score, confusion={"0": 1})}, "confusion '0': 1"),
        (lambda m: {"score": replace(m.score, confusion={"0,999999999": 1})}, "confusion '0,999999999': 1"),
        (lambda m: {"score": replace(m.score, confusion={"0,0": -1})}, "confusion '0,0': -1"),
        (lambda m: {"bench": replace(m.bench, samples_s=[0.1, 1e308])}, "bench.samples_s: 1e+308"),
        (lambda m: {"bench": replace(m.bench, samples_s=[0.1, -0.1])}, "bench.samples_s: -0.1"),
    ],
)
def test_figures_that_nobody_can_have_measured_are_named(found, change, place):
    assert nonsense(found.manifest) == ""
    variant = replace(found.chosen, **change(found.chosen))
    assert nonsense(replace(found.manifest, models=[variant])).endswith(place)


ODD = [
    0,
    -1,
    1,
    0.0,
    -1.5,
    1e308,
    float("nan"),
    10**30,
    "",
    "<script>",
    "x" * 3000,
    [],
    {},
    None,
    True,
    {"5,5": 3},
    "\ud800",
]


def leaves(value, path=()):
    """The path of everything in a JSON document."""
    inner = value.items() if isinstance(value, dict) else enumerate(value[:2]) if isinstance(value, list) else ()
    return [path] * bool(path) + [leaf for key, one in inner for leaf in leaves(one, (*path, key))]


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, len(ODD) - 1))
def test_whatever_a_manifest_says_it_is_refused_or_told(found, where, what):
    plain = to_plain(replace(found.manifest, models=[found.manifest.models[0], emulated(found.chosen, 0.001)]))
    paths = leaves(plain)
    path = paths[where % len(paths)]
    place = plain
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = ODD[what]
    try:
        manifest = from_plain(Manifest, plain)
    except EdgeError:
        return
    if not nonsense(manifest):
        page = model.page(Evidence(manifest, {}))
        refuse_what_a_page_must_not_have(html(page))
        assert (markdown(page) + model_card(manifest)).encode()


def test_the_manifest_is_read_as_it_is_written(build):
    folder, manifest = build
    assert json.loads((folder / "manifest.json").read_text()) == to_plain(manifest)


def test_the_rungs_of_a_repair_are_told_with_the_one_that_was_kept(found):
    repair = pytest.importorskip("tflite_edge.records.repair")
    rungs = [
        repair.Rung("plain", repair.Repair(), 1.0, loss=4.0, loss_ci=0.5, bytes=2048),
        repair.Rung("calibration", repair.Repair(samples=500), 9.0, tried=3, loss=0.5, loss_ci=0.4, latency=1.02),
    ]
    ladder = repair.Ladder(1.0, rungs, "calibration", "the first within the gate", looks=2)
    manifest = replace(found.manifest, models=[replace(found.chosen, repair=ladder)])
    text = markdown(model.page(Evidence(manifest, {})))
    assert "| calibration | +0.50 ±0.40 | - | 1.02 × | - | 3 | 9 | 500 samples |" in text
    assert "Kept: calibration, the first within the gate; judged on the test samples 2 times." in text
