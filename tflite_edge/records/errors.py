"""The exception tree. The exit code of the command line lives on the class.

    EdgeError                    70  our bug, unless a subclass says otherwise
    ├── UsageError                2  the command was called wrongly
    ├── InputError                3  the user's model, recipe or data is at fault
    │   ├── ModelError
    │   ├── RecipeError
    │   ├── DataError
    │   └── BundleError             an archive, a signature or a key
    ├── MissingError              4  a tool, a runtime, disk space or a permission is missing
    └── TargetError               5  the target failed: crash, timeout, unreachable

Every error says *what* is wrong, the *evidence*, and what to *do*. A gate that was not met is a
verdict (exit code 1), not an exception.
"""

from __future__ import annotations

from typing import Any, Tuple, Type

EXIT_OK = 0
EXIT_GATE = 1
EXIT_BUG = 70
EXIT_INTERRUPTED = 130


class EdgeError(Exception):
    """An error with what, evidence and do. ``str()`` is the text that the user reads."""

    exit_code = EXIT_BUG

    def __init__(self, what: str, *, evidence: str = "", do: str = "") -> None:
        super().__init__(what, evidence, do)
        self.what, self.evidence, self.do = what, evidence, do

    def __str__(self) -> str:
        lines = [self.what, *(f"  {line}" for line in self.evidence.splitlines())]
        if self.do:
            lines.append(f"  do: {self.do}")
        return "\n".join(lines)

    def __reduce__(self) -> Tuple[Any, ...]:
        # BaseException pickles by calling cls(*args), which cannot pass keywords.
        return _rebuild, (type(self), *self.args)


def _rebuild(cls: Type[EdgeError], what: str, evidence: str, do: str) -> EdgeError:
    return cls(what, evidence=evidence, do=do)


class UsageError(EdgeError):
    exit_code = 2


class InputError(EdgeError):
    exit_code = 3


class ModelError(InputError):
    pass


class RecipeError(InputError):
    pass


class DataError(InputError):
    pass


class BundleError(InputError):
    pass


class MissingError(EdgeError):
    exit_code = 4


class TargetError(EdgeError):
    exit_code = 5
