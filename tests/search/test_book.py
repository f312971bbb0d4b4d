"""The book: what is asked once, what outlives a kill, what is refused."""

import sqlite3
import time
import warnings
from contextlib import closing

import pytest

from tests.search.made import BASE
from tflite_edge.records.errors import MissingError, RecipeError, UsageError
from tflite_edge.records.search import Budget, Trial
from tflite_edge.search.book import JOURNAL, Book, locked
from tflite_edge.search.space import Axis, Space, space_of

SMALL = Space(BASE, (Axis("channels", (0.0, 0.5)), Axis("scheme", ("int8", "int8+qat", "float16"), ordered=False)))


def opened(folder, budget=None, space=SMALL, **more):
    more = {"name": "n", "identity": {"a": 1}, **more}
    return Book(folder, space, budget or Budget(max_bytes=500), more.pop("identity"), **more)


def done(asked, **more):
    values = {"drop": 1.0, "bytes": 400, **more}
    return Trial(asked.number, {}, "complete", point=asked.point, origin=asked.origin, **values)


@pytest.mark.parametrize("sampler", ["gaussian", "random"])
def test_every_point_is_asked_once_presets_first_and_then_there_are_none(tmp_path, sampler):
    book = opened(tmp_path, sampler=sampler)
    asked = []
    while one := book.ask():
        asked.append(one)
        book.tell(one, done(one, drop=float(one.number), bytes=700 - one.number))
    assert [one.origin for one in asked[:2]] == ["plain int8", "trained int8"]
    assert [one.number for one in asked] == [1, 2, 3, 4, 5, 6]
    assert {str(one.point) for one in asked} == {str(point) for point in SMALL.all()}
    assert [trial.number for trial in book.trials] == [1, 2, 3, 4, 5, 6]


def test_what_needs_no_trial_is_not_asked(tmp_path):
    book = opened(tmp_path)
    asked = []
    while one := book.ask(lambda point: point["channels"] == 0.0):
        asked.append(one)
        book.tell(one, done(one))
    assert [one.point["channels"] for one in asked] == [0.5] * 3


@pytest.mark.parametrize("storage", ["", "sqlite:///{}/study.db"])
def test_what_a_killed_search_was_at_comes_first_again_under_its_number(tmp_path, storage):
    storage = storage.format(tmp_path)
    book = opened(tmp_path, storage=storage)
    first, second, third = book.ask(), book.ask(), book.ask()
    book.tell(first, done(first))
    book.tell(third, done(third), gained=0.7)
    again = opened(tmp_path, storage=storage)
    assert [trial.number for trial in again.trials] == [1, 3]
    assert again.gained == [0.7]
    assert again.ask() == second
    assert again.ask().number == 4


def test_what_was_killed_while_it_was_told_is_tried_again(tmp_path, monkeypatch):
    book = opened(tmp_path)
    one = book.ask()
    monkeypatch.setattr(book.study, "tell", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        book.tell(one, done(one))
    again = opened(tmp_path)
    assert again.trials == []
    assert again.ask() == one


def test_what_was_interrupted_comes_before_presets_that_still_wait(tmp_path):
    first = opened(tmp_path).ask()
    again = opened(tmp_path)
    assert [again.ask(), again.ask().origin] == [first, "trained int8"]


def test_a_journal_that_was_cut_off_in_a_line_is_gone_on_with(tmp_path):
    book = opened(tmp_path)
    one = book.ask()
    book.tell(one, done(one))
    with (tmp_path / JOURNAL).open("a") as stream:
        stream.write('{"op_code": 4, "worker_id": "x", "study_')
    again = opened(tmp_path)
    assert [trial.number for trial in again.trials] == [1]
    two = again.ask()
    again.tell(two, done(two))
    assert len(opened(tmp_path).trials) == 2


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:200] + b"\xff\xfe" + text[200:],
        lambda text: text + b"\0" * 64 + b"\n",
        lambda text: text + b"[]\n",
        lambda text: text + b"{}\n",
        lambda text: text + b'{"op_code": 99, "worker_id": "x"}\n',
    ],
)
def test_whatever_is_in_a_journal_it_is_named(tmp_path, damage):
    book = opened(tmp_path)
    one = book.ask()
    book.tell(one, done(one))
    journal = tmp_path / JOURNAL
    journal.write_bytes(damage(journal.read_bytes()))
    with pytest.raises(RecipeError, match="cannot be read"):
        opened(tmp_path)


def test_a_lock_that_a_killed_run_left_is_not_waited_for(tmp_path):
    (tmp_path / f"{JOURNAL}.lock").touch()
    start = time.monotonic()
    opened(tmp_path)
    assert time.monotonic() - start < 10


def test_a_database_that_is_lost_midway_is_said_at_every_question_and_no_password_is_shown(tmp_path):
    storage = f"sqlite:///{tmp_path}/study.db"
    book = opened(tmp_path, storage=storage)
    with closing(sqlite3.connect(tmp_path / "study.db")) as database:
        for table in ("trials", "studies", "study_user_attributes"):
            database.execute(f"drop table {table}")
        database.commit()
    for question in (lambda: book.gained, lambda: book.noted("x"), lambda: book.note("x", 1), book.ask):
        with pytest.raises(MissingError, match="does not answer"):
            question()
    with pytest.raises((UsageError, MissingError)) as refused:
        opened(tmp_path, storage="postgresql://me:secret@127.0.0.1:1/x")
    assert "secret" not in str(refused.value)
    assert "127.0.0.1:1/x" in str(refused.value)


def test_a_damaged_journal_is_named(tmp_path):
    (tmp_path / JOURNAL).write_text("this is\nno journal\n")
    with pytest.raises(RecipeError, match="cannot be read"):
        opened(tmp_path)


def test_another_recipe_under_an_old_study_is_refused_with_what_differs(tmp_path):
    opened(tmp_path, identity={"tune.epochs": 8, "data": "x"})
    with pytest.raises(RecipeError) as refused:
        opened(tmp_path, identity={"tune.epochs": 4, "data": "x"})
    assert refused.value.evidence == "tune.epochs: 8 then, 4 now"


@pytest.mark.parametrize("limits", [{"max_drop": float("inf")}, {"max_drop": float("nan")}])
def test_a_limit_that_is_no_number_is_refused(limits):
    with pytest.raises(UsageError, match="must be a number"):
        Budget(**limits)
    with pytest.raises(UsageError, match="must be a number"):
        Budget(max_latency_s=limits["max_drop"], latency_on="local")


def test_the_largest_seed_is_good_also_when_the_study_goes_on(tmp_path):
    numbers = []
    for _ in range(3):
        book = opened(tmp_path, seed=2**32 - 1, sampler="random")
        one = book.ask()
        book.tell(one, done(one))
        numbers.append(one.number)
    assert numbers == [1, 2, 3]  # 0 is the reference


def test_two_searches_on_one_study_are_refused(tmp_path):
    with locked(tmp_path, "", "n"), pytest.raises(UsageError, match="another search"), locked(tmp_path, "", "n"):
        pass
    one, other = tmp_path / "a", tmp_path / "b"
    same = ("sqlite:///x", "n")
    with locked(one, *same), pytest.raises(UsageError, match="n in sqlite:///x"), locked(other, *same):
        pass
    with locked(tmp_path, "", "n"):
        assert (tmp_path / "search.lock").exists()


@pytest.mark.parametrize(
    ("storage", "error", "word"),
    [
        ("nonsense", UsageError, "no storage"),
        ("sqlite:////nowhere/at/all/study.db", MissingError, "does not answer"),
        ("postgresql://nobody@127.0.0.1:1/x", MissingError, "needs a driver|does not answer"),
    ],
)
def test_a_storage_that_is_none_is_named(tmp_path, storage, error, word):
    with pytest.raises(error, match=word):
        opened(tmp_path, storage=storage)


def test_the_sampler_learns_what_breaks_the_budget(tmp_path):
    """Of a larger space, more of what is asked after the beginning is small than chance would have it."""
    space = space_of(BASE, Budget(), images=True, width=1.0, smallest=32)
    book = opened(tmp_path, Budget(max_bytes=30), space)
    share = []
    for _ in range(40):
        one = book.ask()
        size = int(100 * one.point["alpha"] * (1 - one.point["channels"]))
        book.tell(one, done(one, bytes=size, drop=5 * one.point["channels"]))
        share.append(size <= 30)
    by_chance = sum(point["alpha"] * (1 - point["channels"]) <= 0.3 for point in space.all()) / len(list(space.all()))
    assert sum(share[15:]) / len(share[15:]) > 1.3 * by_chance


def test_an_unknown_latency_is_told_as_a_long_one(tmp_path):
    book = opened(tmp_path, Budget(latency_on="pi4"))
    one, two, three = book.ask(), book.ask(), book.ask()
    book.tell(one, done(one, latency_s=0.010))
    book.tell(two, done(two))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        book.tell(three, Trial(three.number, {}, "failed", why="it broke"))
    assert [trial.values for trial in book.study.trials[:3]] == [[1.0, 400.0, 0.010], [1.0, 400.0, 0.020], None]
