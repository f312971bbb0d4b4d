"""How a Python of our own is started beside this one."""

from __future__ import annotations

import sys

# `python -m` looks for modules in the current folder first, where a stranger's photos may lie beside a json.py. Python
# 3.10 has no -P: there, that stays so.
_MODULE = "-Pm" if sys.version_info >= (3, 11) else "-m"


def running(module: str, *arguments: str) -> list[str]:
    """The command line that runs `module` in another process of this Python."""
    return [sys.executable, _MODULE, module, *arguments]
