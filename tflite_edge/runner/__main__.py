"""`classify`: the bundle's program on the board. One JSON line for each answer on stdout."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from typing import Any, Iterator, List, Optional, Tuple

from tflite_edge.harness.photos import IMAGES, VALUES, files_in
from tflite_edge.records.errors import EXIT_INTERRUPTED, EXIT_OK, DataError, EdgeError
from tflite_edge.runner import camera
from tflite_edge.runner.classify import Classifier

EPILOG = """examples:
  classify digit.png                   one line: {"label": "7", "score": 0.98, ...}
  classify photos/                     a line for each image in the folder
  classify camera --every 2            a line every 2 s, until Ctrl-C
  cat digit.png | classify -
  classify learn photos/               teaches the model, where it can learn; `classify learn --help`
  classify --head head.npz digit.png   answers with what it learnt
  classify --serve 8080                POST an image to http://127.0.0.1:8080/classify

exit status: 0 all answered; 3 an image or the bundle is bad; 4 something is missing; 5 the camera failed
"""
EXTENSIONS = (*IMAGES, *VALUES)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        "classify", None, __doc__, EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("source", nargs="*", help="images, folders, - for stdin, camera or /dev/videoN")
    made.add_argument("--bundle", default=os.environ.get("TFLITE_EDGE_BUNDLE", "."), help=argparse.SUPPRESS)
    made.add_argument("--head", metavar="FILE", help="answer with what `classify learn` wrote")
    made.add_argument("--every", type=float, default=0.0, metavar="S", help="seconds between pictures of the camera")
    made.add_argument(
        "--serve", metavar="[HOST:]PORT", help="answer over HTTP; on this machine only unless HOST says more"
    )
    made.add_argument("--smoke", action="store_true", help="answer the bundle's own sample and compare")
    made.add_argument("--info", action="store_true", help="print what is installed")
    return made


def main(argv: List[str]) -> int:
    try:
        if argv[:1] == ["learn"]:
            from tflite_edge.runner.learn import main as learn

            return learn(argv[1:])
        options = parser().parse_args(argv)
        classifier = _classifier(options.bundle, options.head)
        if classifier.accelerated and not classifier.accelerated.delegate:
            print(f"warning: the CPU answers: {classifier.accelerated.why}", file=sys.stderr)
        if options.smoke:
            return _print(classifier.smoke())
        if options.info or not (options.source or options.serve):
            return _print(_info(classifier))
        if options.serve:
            return _serve(classifier, options.serve)
        return _answer_all(classifier, options.source, options.every)
    except EdgeError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # the reader has gone, as in `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK


def _classifier(bundle: str, head: Optional[str]) -> Classifier:
    if head is None:
        return Classifier(bundle)
    from tflite_edge.runner.learn import Taught

    return Taught(bundle, head)


def _print(document: Any) -> int:
    print(json.dumps(document), flush=True)
    return EXIT_OK


def _info(classifier: Classifier) -> Any:
    card, runtime = classifier.card, classifier.runtime
    return {
        "name": card.name,
        "model": card.model,
        "sha256": card.model_sha256,
        "runtime": f"{runtime.name} {runtime.version}",
        "python": runtime.python,
        "machine": runtime.machine,
        "labels": card.labels,
        **classifier.fields,
    }


def _answer_all(classifier: Classifier, sources: List[str], every: float) -> int:
    """A bad image is a line too, and the others go on; the exit status tells."""
    return max(
        (_line(classifier, name, data) for name, data in _samples(sources, every, classifier.card.preprocess.size)),
        default=EXIT_OK,
    )


def _line(classifier: Classifier, name: str, data: Optional[bytes]) -> int:
    try:
        return _print({"image": name, **classifier.answer(classifier.load(name, data))})
    except DataError as error:
        _print({"image": name, "error": str(error)})
        return error.exit_code


def _samples(sources: List[str], every: float, size: Any) -> Iterator[Tuple[str, Optional[bytes]]]:
    for source in sources:
        if source == "-":
            yield source, sys.stdin.buffer.read()
        elif source == "camera" or source.startswith("/dev/video"):
            if size is None:
                raise DataError("this model takes no images", do="give it .npy files of raw values")
            while True:
                yield source, camera.frame("" if source == "camera" else source)
                if not every:
                    break
                time.sleep(max(every, 0.0))
        elif os.path.isdir(source):
            found, _ = files_in(source, EXTENSIONS)
            if not found:
                raise DataError(f"no images in {source}", evidence="looked for " + " ".join(EXTENSIONS))
            yield from ((path, None) for path in found)
        else:
            yield source, None


def _serve(classifier: Classifier, where: str) -> int:
    from tflite_edge.runner.serve import Server

    host, _, port = where.rpartition(":")
    if not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise DataError(f"--serve takes PORT or HOST:PORT, not {where!r}")
    try:
        server = Server((host or "127.0.0.1", int(port)), classifier)
    except OSError as error:
        raise DataError(f"cannot serve on {where}", evidence=str(error), do="choose another port") from error
    with server:
        print(f"serving on http://{server.server_address[0]!s}:{server.server_address[1]}", file=sys.stderr, flush=True)
        server.serve_forever()
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
