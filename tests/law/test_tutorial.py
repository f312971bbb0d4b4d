"""The tutorial is run as it is printed: its program, then every command, in order, in an empty folder."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorial.md"


@pytest.mark.slow
def test_the_tutorial_works(tmp_path, boards):
    text = TUTORIAL.read_text()
    (tmp_path / "make.py").write_text(re.search(r"```python\n# make.py\n(.*?)```", text, re.DOTALL)[1])
    commands = [line for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
    assert len(commands) > 10
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "TFLITE_EDGE_CACHE": str(boards)}
    for command in commands:
        done = subprocess.run(
            command, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    assert (tmp_path / "build" / "mine" / "report.html").is_file()
    assert (tmp_path / "dist" / "my_model-pi4.tar.gz").is_file()
