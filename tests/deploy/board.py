"""An emulated Raspberry Pi as a shell script sees it: a `python3` on the PATH that is ARM's."""

import shlex
from pathlib import Path

from tflite_edge.targets.emulator import Emulated

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
