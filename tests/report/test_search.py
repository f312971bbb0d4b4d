"""The report of a search, from its record: found, not found, empty, failed."""

import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.report.made import study, trial
from tests.report.test_model import ODD, leaves
from tests.report.test_page import refuse_what_a_page_must_not_have
from tflite_edge.records.errors import EdgeError
from tflite_edge.records.plain import from_plain, to_plain
from tflite_edge.records.search import Budget, Study, Trial
from tflite_edge.report.page import html, markdown
from tflite_edge.report.search import Searched, nonsense, page

REFERENCE = trial(0, 0.0, 900_000, feasible=False, origin="reference", point={}, latency_s=0.0001,
                  latency_kind="measured", latency_on="local")  # fmt: skip
FRONT = trial(
    2, 0.8, 90_000, front=True, latency_s=0.004, latency_kind="predicted", latency_on="pi4", file="trials/002/m.tflite"
)
OTHERS = [
    trial(1, 0.4, 300_000, feasible=False, origin="plain int8"),
    FRONT,
    trial(3, 0.2, 150_000, front=True, latency_s=0.009, latency_kind="predicted", latency_on="pi4"),
    Trial(4, {"model.alpha": 9}, "failed", why="<script>crashed", point={"alpha": "<script>"}),
]
BUDGET = Budget(200_000, 0.02, "pi4", 1.0)
TOML = '[model]\nname = "<script>"\n'


def told(*trials, toml="", **more):
    return page(Searched(study(*trials, **more), toml))


def test_the_recommended_recipe_is_told_with_the_budget_and_the_front():
    one = told(REFERENCE, *OTHERS, toml=TOML, best=2, why="the smallest", budget=BUDGET)
    assert one.verdict == "ok"
    assert "Of 4 trials, trial 2 is recommended: 87.9 KiB" in one.headline
    read = refuse_what_a_page_must_not_have(html(one))
    for words in (
        'name = "<script>"',
        "The smallest.",
        "trial 4 failed",
        "<script>crashed",
        "tflite-edge report trials/002",
    ):
        assert words in read.text, words
    text = markdown(one)
    assert "| 2 | +0.80 ±0.50 | 87.9 |" in text
    assert "| points below float | 1 | +0.80 ±0.50 |" in text
    assert "| bytes | 200,000 | 90,000 |" in text
    assert "not searched: only 1 is possible" in text


def test_predicted_and_measured_latencies_have_columns_and_axes_of_their_own():
    text = markdown(told(REFERENCE, *OTHERS, best=2, budget=BUDGET))
    table = next(t for t in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE) if "measured ms" in t)
    head, _, first, *_, last = table.strip().splitlines()
    columns = [cell.strip() for cell in head.split("|")]
    assert first.split("|")[columns.index("predicted ms")].strip() == "-"
    assert last.split("|")[columns.index("measured ms")].strip() == "-"
    axes = html(told(REFERENCE, *OTHERS, best=2, budget=BUDGET))
    assert "ms on pi4" in axes
    assert "ms on local" not in axes  # of one alone nothing can be compared


def test_a_budget_that_nothing_keeps_names_the_nearest():
    one = told(REFERENCE, OTHERS[0], nearest=1, why="bytes stand in the way")
    assert one.verdict == "failed"  # as search itself says
    assert one.headline.startswith("The one trial does not keep the budget. Nearest is trial 1 (plain int8): 293.0 KiB")
    assert "Nothing keeps the budget" in html(one)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"drop": float("nan")}, "trial 2: drop: nan"),
        ({"bytes": -1}, "trial 2: bytes: -1"),
        ({"latency_s": float("inf")}, "trial 2: latency_s: inf"),
        ({"point": {"alpha": float("nan")}}, "trial 2: alpha: nan"),
        ({"number": -4}, "trial -4: number: -4"),
        ({"top1": 1e300}, "trial 2: top1: 1e+300"),
    ],
)
def test_figures_that_nobody_can_have_measured_are_named(change, place):
    assert nonsense(study(REFERENCE, *OTHERS, budget=BUDGET)) == ""
    assert nonsense(study(REFERENCE, replace(FRONT, **change), budget=BUDGET)) == place
    assert nonsense(study(budget=replace(BUDGET, max_latency_s=1e300))) == "budget: max_latency_s: 1e+300"
    assert nonsense(study(budget=replace(BUDGET, max_bytes=10**400))) == "budget: max_bytes: a number of 401 digits"


def test_a_latency_of_any_of_the_boards_is_held_against_the_budget():
    boards = ["ssh://one", "ssh://two"]
    timed = [
        trial(n + 1, 0.1 * n, 50_000 + n, latency_s=0.001, latency_kind="measured", latency_on=board)
        for n, board in enumerate(boards * 2)
    ]
    text = html(told(REFERENCE, *timed, best=1, budget=Budget(200_000, 0.02, ",".join(boards), 1.0)))
    assert "ms on ssh://one,ssh://two" in text


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, len(ODD) - 1))
def test_whatever_a_search_says_it_is_refused_or_told(where, what):
    plain = to_plain(study(REFERENCE, *OTHERS, budget=BUDGET, best=2, why="so"))
    paths = leaves(plain)
    path = paths[where % len(paths)]
    place = plain
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = ODD[what]
    try:
        read = from_plain(Study, plain)
    except EdgeError:
        return
    if not nonsense(read):
        one = page(Searched(read, TOML))
        refuse_what_a_page_must_not_have(html(one))
        assert markdown(one).encode()


def test_a_trial_that_has_learnt_nothing_does_not_press_the_others_together():
    text = html(told(REFERENCE, FRONT, trial(7, 80.0, 50_000, feasible=False), best=2))
    assert text.count("Not shown: 1 with more than 5 points lost.") == 2
    assert "trial 7: " not in text
    assert "+80.00" in text  # the table has it


def test_an_empty_search_is_a_page_as_well():
    one = told(complete=False)
    assert one.headline == "The search tried nothing yet."
    read = refuse_what_a_page_must_not_have(html(one))
    assert "The search is not finished" in read.text
    assert markdown(one)


def test_one_trial_alone_and_only_failures_are_pages_as_well():
    assert html(told(FRONT, best=2))
    assert "No trial was judged" in html(told(OTHERS[-1]))
    refuse_what_a_page_must_not_have(html(told(*OTHERS, best=2, objectives=["drop", "gzip_bytes"])))


def test_without_its_recipe_the_changes_are_told():
    assert "model.alpha = 0.25" in html(told(FRONT, best=2))


def test_no_absolute_path_is_in_the_page():
    failed = Trial(4, {}, "failed", why="no such file: '/srv/somebody/photos/a.png'", point={"alpha": 1})
    changes = {"optimize": [{"step": "distill", "teacher": "/srv/somebody/t.h5"}]}
    text = markdown(told(REFERENCE, replace(FRONT, changes=changes), failed, best=2))
    assert "somebody" not in text
    assert "a.png" in text
    assert "t.h5" in text
    assert 'file = "./../m.h5"' in markdown(told(FRONT, best=2, toml='[model]\nfile = "./../m.h5"\n'))


def test_of_many_points_on_the_front_only_the_recommended_one_is_named():
    many = [trial(n, 0.01 * n, 100_000 - n, front=True) for n in range(1, 60)]
    text = html(told(REFERENCE, *many, best=7, budget=BUDGET))
    pareto = text[text.index('id="pareto"') :]
    pareto = pareto[: pareto.index("</svg>")]
    assert ">7<" in pareto
    assert ">8<" not in pareto
