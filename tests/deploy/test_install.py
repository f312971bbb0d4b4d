"""install.sh and the command that it writes, with a Python that tells how it was called."""

import os
import subprocess
from importlib.resources import files

from tflite_edge.deploy import archive

SCRIPT = (files("tflite_edge.deploy") / "install.sh").read_text()


def script(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_the_user_s_python_path_reaches_neither_the_installation_nor_the_command(tmp_path):
    told = '#!/bin/sh\necho "path ${PYTHONPATH-none}, home ${PYTHONHOME-none}"\nexit 9\n'
    install = script(tmp_path / "install.sh", SCRIPT)
    (tmp_path / archive.SUMS).write_bytes(archive.sums({"install.sh": SCRIPT.encode()}))
    run = script(tmp_path / "bin" / "classify", SCRIPT.partition("<<'RUN'\n")[2].partition("\nRUN\n")[0])
    python = script(tmp_path / "venv" / "bin" / "python", told)
    env = {**os.environ, "PYTHONPATH": "/theirs", "PYTHONHOME": "/theirs", "PYTHON": str(python)}
    for command in (install, run):
        done = subprocess.run([command], env=env, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stdout) == (9, "path none, home none\n"), done.stderr
    (tmp_path / "debian").mkdir()  # 32-bit systems: Debian's own NumPy, and nothing else
    done = subprocess.run([run], env=env, capture_output=True, text=True, timeout=60)
    assert done.stdout == f"path {tmp_path}/debian/usr/lib/python3/dist-packages, home none\n"
