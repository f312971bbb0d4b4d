"""Every point of a small space, made and judged: `python -m benchmarks.ours.search_table TABLE BASELINE`.

TABLE gets a line of JSON for each point, once; stopped and called again, it goes on. In one process, because only the
numbers are wanted here, and neighbours share their steps in the cache.
"""

import json
import shutil
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from benchmarks.search import recipe, space
from tflite_edge.records.recipe import with_changes
from tflite_edge.search.engine import OPEN


def main(table, baseline):
    from tflite_edge.pipeline import convert

    made = recipe(baseline)
    points = space(made)
    table.touch()
    known = {json.dumps(json.loads(line)["point"]) for line in table.read_text().splitlines()}
    for point in points.all():
        if json.dumps(point) in known:
            continue
        began, out = time.perf_counter(), Path(tempfile.mkdtemp())
        changed = replace(with_changes(made, points.changes(point)), gates=OPEN)
        (variant,) = convert(changed, out, compare=False).models
        shutil.rmtree(out)
        line = {
            "point": point,
            "top1": variant.score.top1,
            "drop": variant.drop,
            "bytes": variant.bytes,
            "gzip_bytes": variant.gzip_bytes,
            "seconds": time.perf_counter() - began,
        }
        with table.open("a") as stream:
            stream.write(json.dumps(line) + "\n")

        import tf_keras

        tf_keras.backend.clear_session()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
