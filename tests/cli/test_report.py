"""`tflite-edge report` through the installed entry point, and its pages in a real browser."""

import http.server
import json
import re
import shutil
import subprocess
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.report import made
from tests.report.test_page import refuse_what_a_page_must_not_have
from tflite_edge.records.plain import to_plain
from tflite_edge.reporting import report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return made.folder(tmp_path_factory.mktemp("cli"))[0]


@pytest.fixture
def copy(folder, tmp_path):
    """`folder`, to be spoilt."""
    return shutil.copytree(folder, tmp_path / "twins")


@pytest.fixture
def searched(tmp_path):
    best = made.trial(1, 0.25, 90_000, front=True)
    record = made.study(made.trial(0, 0.0, 900_000, origin="reference", point={}), best, best=1, why="the only one")
    (tmp_path / "search").mkdir()
    (tmp_path / "search" / "search.json").write_text(json.dumps(to_plain(record)))
    (tmp_path / "search" / "best.toml").write_text('[model]\nname = "mobilenet"\n')
    return tmp_path / "search"


def test_a_report_says_what_it_wrote_and_the_headline(folder, edge, tmp_path):
    done = edge("report", folder, "-o", tmp_path / "public" / "it")
    assert done.stdout.startswith("twins: twins.h5 in int8: ")
    assert done.stdout.rstrip().endswith("verdict: ok")
    for name in ("report.html", "report.md", "MODEL_CARD.md"):
        assert f"wrote {tmp_path / 'public' / 'it' / name}" in done.stdout.replace("\n  ", " ")
        assert (tmp_path / "public" / "it" / name).stat().st_size > 1000
    refuse_what_a_page_must_not_have((tmp_path / "public" / "it" / "report.html").read_text())
    assert not (folder / "report.html").exists()


def test_it_is_one_document_for_a_script_and_goes_into_the_folder(copy, edge):
    document = edge.json("report", copy)
    assert (document["kind"], document["told"], document["missing"]) == ("model", "ok", [])
    assert document["files"] == [str(copy / name) for name in ("report.html", "report.md", "MODEL_CARD.md")]
    assert edge.json("report", copy)["headline"] == document["headline"]  # its own files are not in its way


def test_what_is_missing_is_said_and_the_page_is_made_all_the_same(copy, edge):
    (copy / "twins-float.tflite").unlink()
    (copy / "twins-static-wi8ai8.tflite").write_bytes(b"spoilt")
    done = edge("report", copy, code=1)
    assert "missing: twins-float.tflite cannot be read" in done.stdout
    assert done.stdout.rstrip().endswith("verdict: degraded")
    text = (copy / "report.html").read_text()
    read = refuse_what_a_page_must_not_have(text)
    assert "twins-float.tflite cannot be read" in read.text
    assert "Confusion matrix" in read.text


def test_another_file_under_the_name_is_not_told_of(copy, edge):
    shutil.copy(copy / "twins-float.tflite", copy / "twins-static-wi8ai8.tflite")
    assert "is not what the manifest tells of" in edge("report", copy, code=1).stdout
    assert "Where the bytes are" not in (copy / "report.html").read_text()


def test_a_manifest_that_points_elsewhere_reads_nothing_there(copy, edge):
    plain = json.loads((copy / "manifest.json").read_text())
    shutil.copy(copy / "twins-float.tflite", copy.parent / "other.tflite")
    plain["models"][0]["file"] = "../other.tflite"
    (copy / "manifest.json").write_text(json.dumps(plain))
    assert "missing: ../other.tflite lies outside of" in edge("report", copy, code=1).stdout


def test_what_nobody_can_have_measured_is_refused(copy, edge):
    plain = json.loads((copy / "manifest.json").read_text())
    plain["models"][0]["bench"]["median_s"] = float("nan")
    (copy / "manifest.json").write_text(json.dumps(plain))
    done = edge("report", copy, code=3)
    assert "holds what nobody can have measured" in done.stderr
    assert "bench.median_s: nan" in done.stderr


def test_without_samples_the_layers_are_not_compared_and_it_is_said(copy, edge):
    (copy / "samples.npz").unlink()
    assert "the layers could not be compared" in edge("report", copy, code=1).stdout
    assert "and there are none" in (copy / "report.md").read_text()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is not a folder that `tflite-edge convert` filled"),
        ("{", "is not a folder that `tflite-edge convert` filled"),
        ("[]", "of another version of tflite-edge, or none at all"),
        ('{"schema": 99}', "schema 99; this version reads 1"),
        ('{"schema": 1, "new": 1}', "cannot be read by this version"),
        ("[" * 100_000, "is not a folder that `tflite-edge convert` filled"),
    ],
)
def test_no_manifest_and_another_version_s_are_one_clear_error(edge, tmp_path, content, message):
    if content is not None:
        (tmp_path / "manifest.json").write_text(content)
    done = edge("report", tmp_path, code=3)
    assert message in done.stderr
    assert "do: " in done.stderr
    assert not list(tmp_path.glob("report*"))


def test_an_output_that_cannot_be_written_is_exit_code_4(folder, edge, tmp_path):
    (tmp_path / "file").write_text("")
    assert "a file is in the way of the folder" in edge("report", folder, "-o", tmp_path / "file" / "x", code=4).stderr


def test_a_search_is_told_as_well(searched, edge):
    document = edge.json("report", searched)
    assert document["kind"] == "search"
    assert document["headline"].startswith("Of 1 trial, trial 1 is recommended: 87.9 KiB")
    assert [name.rpartition("/")[2] for name in document["files"]] == ["report.html", "report.md"]
    read = refuse_what_a_page_must_not_have((searched / "report.html").read_text())
    assert 'name = "mobilenet"' in read.text


@pytest.mark.parametrize("content", ["{", "[]", '{"schema": 2}', '{"schema": 1, "x": 1}', None])
def test_a_search_that_cannot_be_read_is_exit_code_3(searched, edge, content):
    plain = json.loads((searched / "search.json").read_text())
    plain["budget"]["max_bytes"] = -1
    (searched / "search.json").write_text(json.dumps(plain) if content is None else content)
    assert "search.json" in edge("report", searched, code=3).stderr


def test_a_search_without_its_recipe_says_so(searched, edge):
    (searched / "best.toml").unlink()
    assert "missing: best.toml cannot be read" in edge("report", searched, code=1).stdout


@contextmanager
def served(pages):
    """A proxy that answers for every host with `pages` by path: its port, and the list of what it is asked for."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            content = pages.get(self.path.removeprefix("http://report.test"), "").encode()
            self.send_response(200 if content else 404)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def do_CONNECT(self):
            asked.append(self.path)
            self.send_error(403)

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port, asked
        server.shutdown()


def browse(pages, folder):
    """(what the browser asked anybody for, what it wrote on its console) while it showed all pages, on a phone."""
    frames = "".join(f'<iframe src="{name}" width="360" height="800"></iframe>' for name in pages)
    options = (
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
        "--disable-sync", "--no-first-run", "--enable-logging=stderr", "--proxy-bypass-list=<-loopback>",
    )  # fmt: skip
    with served({**pages, "/": f'<link rel="icon" href="data:,">{frames}'}) as (port, asked):
        done = subprocess.run(
            [CHROMIUM, *options, f"--proxy-server=127.0.0.1:{port}", f"--user-data-dir={folder / 'profile'}",
             "--window-size=1200,900", f"--screenshot={folder / 'shown.png'}", "http://report.test/"],
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    own = re.compile(r"\.(google|googleapis)\.com")  # the browser asks its maker for the time and for updates
    return [path for path in asked if not own.search(path)], re.findall(r"CONSOLE.*", done.stderr)


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
def test_a_browser_shows_it_without_a_word_and_asks_nobody(folder, searched, tmp_path):
    model, search = (report(one, tmp_path / one.name) for one in (folder, searched))
    pages = {f"/{one.kind}.html": Path(one.files[0]).read_text() for one in (model, search)}
    evil = '<img src="http://evil.test/x.png"><script>document.title = 1</script></body>'
    pages["/spoilt.html"] = pages["/model.html"].replace("</body>", evil)
    asked, said = browse(pages, tmp_path)
    assert sorted(asked) == sorted(f"http://report.test{name}" for name in ("/", *pages))
    assert len(said) == 2  # the page's own policy keeps the picture from being asked for and the script from running
    assert all("Content Security Policy" in line and "/spoilt.html" in line for line in said)
    assert (tmp_path / "shown.png").stat().st_size > 20_000
