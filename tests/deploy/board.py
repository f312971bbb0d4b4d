"""An emulated Raspberry Pi as a shell script sees it: a `python3` on the PATH that is ARM's."""

import os
import shlex
import subprocess
from pathlib import Path

from tflite_edge.records.board import BOARDS
from tflite_edge.targets.emulator import Emulated, open_board

# The guest cannot start other ARM programs without binfmt, so the Python of a virtual environment that it makes becomes
# a script as well, which starts the same guest under the environment's name: what exec would have done.


def python_of(board: Emulated, folder: Path) -> Path:
    """`folder`/python3, which runs what it is given on `board`. Environments may move: they find themselves by $0."""
    words = shlex.join(board.argv()[3:])  # without the shell that forbids core files
    # A bundle's own script names the places of its libraries: they come before the board's.
    words = words.replace("-U PYTHONPATH", "").replace("-U LD_LIBRARY_PATH", "")
    words = words.replace("-E LD_LIBRARY_PATH=", '-E LD_LIBRARY_PATH="${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}"')
    options, program = words.rsplit(" ", 2)[0], " ".join(words.rsplit(" ", 2)[1:])
    inside = f'{options} -0 "$0" {program}'
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "python3"
    path.write_text(
        "#!/bin/sh\n"
        f'{words} "$@"\n'
        "status=$?\n"
        'case "$*" in *"-m venv "*)\n'
        "  for folder; do :; done\n"
        f"  for name in python python3 python{board.board.python}; do\n"
        '    rm -f "$folder/bin/$name"\n'
        "    cat > \"$folder/bin/$name\" <<'INSIDE'\n"
        "#!/bin/sh\n"
        f'exec {inside} "$@"\n'
        "INSIDE\n"
        '    chmod 755 "$folder/bin/$name"\n'
        "  done\n"
        "esac\n"
        "exit $status\n"
    )
    path.chmod(0o755)
    return path


def cached_board(name, cache):
    """The emulated board that is installed in `cache`."""
    before = os.environ.get("TFLITE_EDGE_CACHE")
    os.environ["TFLITE_EDGE_CACHE"] = str(cache)
    try:
        return open_board(BOARDS[name])
    finally:
        if before is None:
            del os.environ["TFLITE_EDGE_CACHE"]
        else:
            os.environ["TFLITE_EDGE_CACHE"] = before


class Home:
    """A user's home on an emulated board. The environment has no network settings, and no network is asked for."""

    def __init__(self, folder, board, cache):
        self.folder = folder
        folder.mkdir()
        python_of(cached_board(board, cache), folder / "python")
        self.env = {"HOME": str(folder), "PATH": f"{folder}/python:{folder}/.local/bin:/usr/bin:/bin"}

    def __call__(self, *command):
        return subprocess.run(command, **self.options, capture_output=True, timeout=600)

    def start(self, *command):
        """What runs on while its stderr is read."""
        return subprocess.Popen(command, **self.options, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    @property
    def options(self):
        return {"env": self.env, "cwd": self.folder, "text": True}
