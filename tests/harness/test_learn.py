"""Learning on both runtimes: what is learnt, kept, refused, and survives a kill."""

import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from tflite_edge.harness.command import main as on_the_board
from tflite_edge.harness.head import Head, average, last_checkpoint, read_head, write_head
from tflite_edge.records.errors import DataError, ModelError, RecipeError
from tflite_edge.records.job import Job
from tflite_edge.records.learning import HeadFacts, Lesson
from tflite_edge.records.plain import to_plain
from tflite_edge.records.preprocess import Preprocess
from tflite_edge.targets.local import Local
from tflite_edge.targets.zipapp import harness_pyz

AS_IT_IS = Preprocess(channels=1)


def job(folder, model="adam", pack="new", runtime="auto", **lesson):
    lesson = {"test": str(folder / "test.npz"), "epochs": 4, **lesson}
    return Job(
        "learn", str(folder / f"{model}.tflite"), runtime, pack=str(folder / f"{pack}.npz"), preprocess=AS_IT_IS,
        lesson=Lesson(**lesson),
    )  # fmt: skip


def learn(*args, **lesson):
    return Local().learn(job(*args, **lesson))


@pytest.mark.parametrize("runtime", ["ai-edge-litert", "tflite-runtime"])
@pytest.mark.parametrize("model", ["adam", "hidden", "head"])
def test_it_begins_as_keras_and_learns(teachable, tmp_path, model, runtime):
    features = str(teachable / "features.tflite") if model == "head" else None
    out = tmp_path / "head.npz"
    result = learn(teachable, model, "new", runtime, features=features, out=str(out))
    assert result.runtime.name == runtime
    assert result.before.max_difference < {"adam": 1e-6, "hidden": 0.05, "head": 0.05}[model]
    assert result.before.agreement > 0.9
    assert result.exact
    assert result.epochs[-1].loss < result.start.loss
    assert result.after.top1 > max(0.7, result.before.top1)
    assert result.new_classes == [8, 9]
    assert result.steps == 4 * -(-400 // 8)
    assert result.head_bytes == out.stat().st_size
    facts = read_head(str(out)).facts
    assert (facts.classes, facts.samples, facts.top1) == (tuple(range(10)), 400, result.after.top1)


def test_what_was_learnt_is_in_the_head(teachable, tmp_path):
    out = str(tmp_path / "head.npz")
    first = learn(teachable, out=out)
    facts = read_head(out).facts
    assert facts.samples == facts.since_average == 400
    again = learn(teachable, head=out, epochs=0)
    assert again.before.top1 == first.after.top1
    assert again.before.confusion == first.after.confusion
    assert not again.rolled_back
    assert again.step_s is None
    other_runtime = learn(teachable, runtime="tflite-runtime", head=out, epochs=0)
    assert abs(other_runtime.before.top1 - first.after.top1) < 0.02


def test_a_lesson_after_an_average_counts_its_own_samples(teachable, tmp_path):
    out, mean, mine = (str(tmp_path / name) for name in ("head.npz", "mean.npz", "mine.npz"))
    learn(teachable, out=out, epochs=1)
    write_head(mean, average([("a", read_head(out)), ("b", read_head(out))]))
    assert learn(teachable, head=mean, out=mine).best > 0
    facts = read_head(mine).facts
    assert (facts.samples, facts.since_average) == (1200, 400)


def test_without_a_test_pack_a_share_of_each_class_is_held_out(teachable):
    result = learn(teachable, test=None, epochs=1)
    assert result.samples + result.before.images == 400
    assert 80 <= result.before.images <= 90
    classes = {int(pair.split(",")[0]) for pair in result.before.confusion}
    assert classes == set(range(10))


def test_when_nothing_gets_better_the_head_stays_as_it_was(teachable, tmp_path):
    """Labels that lie: what is learnt from them is wrong on the held-out samples."""
    good = str(tmp_path / "good.npz")
    best = learn(teachable, out=good, epochs=8).after.top1
    with np.load(teachable / "new.npz") as arrays:
        np.savez(tmp_path / "lies.npz", x=arrays["x"], y=(arrays["y"] + 1) % 10)
    before = (tmp_path / "good.npz").read_bytes()
    lies = job(teachable, head=good, out=good, epochs=3)
    result = Local().learn(Job(**{**vars(lies), "pack": str(tmp_path / "lies.npz")}))
    assert result.rolled_back
    assert result.best == 0
    assert result.after.top1 == best
    assert result.epochs[-1].top1 < best
    assert result.head_bytes is None
    assert (tmp_path / "good.npz").read_bytes() == before


@pytest.mark.parametrize("model", ["adam", "hidden"])
def test_a_loss_that_is_no_number_is_one_error_and_the_old_head_stays(teachable, tmp_path, model):
    out = tmp_path / "head.npz"
    learn(teachable, model, out=str(out), epochs=1)
    before = out.read_bytes()
    with pytest.raises(DataError, match=r"loss became|answers NaN") as caught:
        learn(teachable, model, out=str(out), learning_rate=1e38, epochs=5)
    assert "smaller --learning-rate" in caught.value.do
    assert out.read_bytes() == before


def test_a_class_without_an_output_is_refused(teachable):
    with pytest.raises(DataError, match=r"class 9 .* is new") as caught:
        learn(teachable, "full")
    assert "0 to 7" in caught.value.evidence
    assert "spare_classes" in caught.value.do
    assert learn(teachable, "full", "old", test=None, epochs=2).after.top1 > 0.5


def test_files_and_heads_that_do_not_belong_are_refused(teachable, tmp_path):
    out = str(tmp_path / "head.npz")
    learn(teachable, out=out, epochs=1)
    with pytest.raises(DataError, match="another model"):
        learn(teachable, "other", head=out)
    with pytest.raises(ModelError, match="cannot learn"):
        learn(teachable, "features")
    with pytest.raises(ModelError, match="is a head"):
        learn(teachable, "head")
    with pytest.raises(ModelError, match=r"does not belong|cannot learn|refuses"):
        learn(teachable, "head", features=str(teachable / "full.tflite"))
    (tmp_path / "torn.npz").write_bytes((tmp_path / "head.npz").read_bytes()[:-100])
    with pytest.raises(DataError, match="not a file of saved weights"):
        learn(teachable, head=str(tmp_path / "torn.npz"))
    forged = read_head(out)
    wrong = {**forged.weights, "kernel": forged.weights["kernel"][:, :9]}
    write_head(out, Head(wrong, HeadFacts(forged.facts.model_sha256, (0,))))
    with pytest.raises(DataError, match="does not hold the weights"):
        learn(teachable, head=out)
    with pytest.raises(RecipeError, match="learn needs a pack"):
        Job("learn", "model.tflite")


def killed_after(paper, folder, epochs, checkpoint):
    """Start the harness, and SIGKILL it once its checkpoint holds so many epochs."""
    child = subprocess.Popen(
        [sys.executable, harness_pyz(folder), paper], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    try:
        for line in child.stderr:
            if line.startswith(f"epoch {epochs + 1}/"):
                break
        child.send_signal(signal.SIGKILL)
        assert child.wait(timeout=60) == -signal.SIGKILL
    finally:
        child.stderr.close()
    return last_checkpoint(checkpoint)[0]


def test_killed_and_run_again_it_ends_with_the_same_bits(teachable, tmp_path):
    straight, stopped, checkpoint = (str(tmp_path / name) for name in ("a.npz", "b.npz", "b.checkpoint"))
    whole = learn(teachable, out=straight, epochs=12)
    wanted = job(teachable, out=stopped, epochs=12, checkpoint=checkpoint)
    paper = tmp_path / "job.json"
    paper.write_text(json.dumps(to_plain(wanted)))
    state = killed_after(paper, tmp_path, 3, checkpoint)
    done = len(state.progress.epochs)
    assert 3 <= done < 12
    result = Local().learn(wanted)
    assert result.resumed == done
    assert [epoch.held_out_loss for epoch in result.epochs] == [epoch.held_out_loss for epoch in whole.epochs]
    a, b = read_head(straight), read_head(stopped)
    assert all(np.array_equal(a.weights[name], b.weights[name]) for name in a.weights)
    assert a.facts == b.facts
    assert not list(tmp_path.glob("*.checkpoint*"))


def test_a_checkpoint_of_another_model_is_refused_and_one_of_other_settings_is_left(teachable, tmp_path):
    checkpoint = str(tmp_path / "checkpoint")
    paper = tmp_path / "job.json"
    paper.write_text(json.dumps(to_plain(job(teachable, epochs=200, checkpoint=checkpoint))))
    assert killed_after(paper, tmp_path, 2, checkpoint) is not None
    with pytest.raises(DataError, match="checkpoint of another model"):
        learn(teachable, "other", checkpoint=checkpoint)
    assert last_checkpoint(checkpoint)[0] is not None
    assert learn(teachable, checkpoint=checkpoint, epochs=1, learning_rate=0.02).resumed == 0


def test_on_the_board_alone(teachable, tmp_path, capsys):
    """The zipapp's own command: a card beside the model, a pack, and later more of it."""
    (tmp_path / "model.tflite").write_bytes((teachable / "adam.tflite").read_bytes())
    labels = [str(number) for number in range(8)]
    card = {"preprocess": to_plain(AS_IT_IS), "labels": labels}
    (tmp_path / "bundle.json").write_text(json.dumps(card))
    argv = [sys.executable, "-I", harness_pyz(tmp_path), "learn", "model.tflite", "--data", teachable / "new.npz"]
    began = time.monotonic()
    done = subprocess.run(
        [*argv, "-o", "head.npz", "--epochs", "3"], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - began < 60
    document = json.loads(done.stdout)
    assert document["best"] > 0
    assert "epoch 3/3: loss " in done.stderr
    again = subprocess.run(
        [*argv, "-o", "head.npz", "--epochs", "1", "--runtime", "tflite-runtime"],
        cwd=tmp_path, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert again.returncode in (0, 1), again.stderr
    assert json.loads(again.stdout)["before"]["top1"] > document["before"]["top1"]
    lost = subprocess.run([*argv, "-o", "no/head.npz"], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert lost.returncode == 4
    assert lost.stderr.splitlines()[-3].startswith("error: cannot write no/head.npz")
    assert on_the_board([str(tmp_path / "model.tflite"), "--data", str(tmp_path), "-o", str(tmp_path / "h.npz")]) == 3
    assert "nothing here decodes images" in capsys.readouterr().err
    assert on_the_board([str(tmp_path / "model.tflite"), "--data", "nope", "-o", str(tmp_path / "h.npz")]) == 3
    assert "there is no folder nope" in capsys.readouterr().err
