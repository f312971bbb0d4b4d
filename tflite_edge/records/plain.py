"""Records to and from plain JSON/TOML values, strictly: an unknown key names the nearest one."""

from __future__ import annotations

import dataclasses
import difflib
import json
import typing
from typing import Any, Dict, Tuple, Type, TypeVar

from tflite_edge.records.errors import RecipeError

T = TypeVar("T")

# What a value of each type looks like in TOML: (in words, an example).
WRITTEN: Dict[Any, Tuple[str, str]] = {
    float: ("a number", "0.5"),
    int: ("a whole number", "16"),
    bool: ("true or false", "true"),
    str: ("a text", '"conv_1"'),
    dict: ("a table", "[table]"),
}


def to_plain(record: Any) -> Dict[str, Any]:
    """A dataclass as JSON-ready values: tuples become lists."""
    plain: Dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(record)))
    return plain


def nearest(word: str, known: typing.Iterable[str]) -> str:
    """``did you mean 'x'?``, or the list of what exists when nothing is close."""
    known = sorted(known)
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else "known: " + ", ".join(known)


def from_plain(cls: Type[T], values: Any, where: str = "") -> T:
    """Build the dataclass `cls` from a mapping; `where` is the path used in messages.

    Raises RecipeError on an unknown key, a value of the wrong type, or a missing field.
    """
    if not isinstance(values, dict):
        raise RecipeError(f"[{where}] must be a table", evidence=f"got {values!r}")
    hints = typing.get_type_hints(cls)
    for key in values:
        if key not in hints:
            place = f" in [{where}]" if where else ""
            raise RecipeError(f"unknown key {key!r}{place}", do=nearest(key, hints))
    ready = {key: _coerce(hints[key], value, f"{where}.{key}".strip(".")) for key, value in values.items()}
    try:
        return cls(**ready)
    except TypeError as error:
        raise RecipeError(f"incomplete table [{where}]", evidence=str(error)) from error


def _as_float(value: Any, where: str) -> float:
    try:
        return float(value)
    except OverflowError as error:  # JSON's whole numbers have no end
        raise RecipeError(f"{where} is larger than a number can be", evidence=str(error)) from error


def _coerce(hint: Any, value: Any, where: str) -> Any:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if origin is typing.Union:  # Optional[X]
        return None if value is None else _coerce(next(a for a in args if a is not type(None)), value, where)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return from_plain(hint, value, where)
    if origin in (tuple, list):
        if isinstance(value, (list, tuple)):
            return origin(_coerce(args[0], item, where) for item in value)
        raise RecipeError(f"{where} must be a list", evidence=f"got {value!r}", do=_in_a_list(args[0], value, where))
    if origin is dict:
        hint = dict
        if isinstance(value, dict):
            return {key: _coerce(args[1], item, f"{where}.{key}") for key, item in value.items()}
    elif hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return _as_float(value, where)
    elif type(value) is hint:
        return value
    words, example = WRITTEN[hint]
    raise RecipeError(f"{where} must be {words}", evidence=f"got {value!r}", do=f"such as {example}")


def _in_a_list(hint: Any, value: Any, where: str) -> str:
    key = where.rsplit(".", maxsplit=1)[-1]
    if typing.get_origin(hint) is dict:
        return f"one [[{key}]] table, in double brackets, for each"
    return f"{key} = [{json.dumps(value)}]"
