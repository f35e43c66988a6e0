"""Numbers of a configuration, however they were written.

YAML reads ``1e-4`` as text, ``--config 'measure={rounds: 5}'`` gives every number as text, and ``0.1`` without quotes
is no text where text names the point. `read` takes what can only mean one number, and writes it in one way, so that
jobs (and the hashes in their names) do not depend on how it was written. What it does not understand stays as it is,
for the schema to refuse.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import yaml

# As JSON and YAML write numbers; not 010 (eight for some), nan and inf.
NUMBER = re.compile(r"[+-]?((0|[1-9][0-9_]*)(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
DIGITS = re.compile(r"[+-]?[0-9_]+")
PROPORTION, CONNECTIONS = "proportion", "connections"
"""``format`` in the schema: text that names the point, such as ``"0.1"``; the latter by the operator of its block."""


def read(config: dict[str, Any], schema: dict[str, Any]) -> None:
    """Write all numbers of a configuration as the schema wants them, in place.

    Parameters
    ----------
    config
        The configuration, not validated yet.
    schema
        That of ``workflow/schemas/config.schema.yaml``.

    Examples
    --------
    >>> config = {"seed": "7", "rate": 1e-3}
    >>> read(config, {"type": "object", "properties": {"seed": {"type": "integer"}, "rate": {"format": PROPORTION}}})
    >>> config
    {'seed': 7, 'rate': '0.001'}
    """
    _read(config, schema, schema)
    for block in config.get("sweep") or []:
        if isinstance(block, dict) and isinstance(block.get("conn"), list):
            block["conn"] = [connections(value, block.get("operator")) for value in block["conn"]]


def _read(value: Any, node: dict, schema: dict) -> Any:
    """The value as this part of the schema wants it, or the value itself."""
    if "$ref" in node:
        node = schema["$defs"][node["$ref"].rpartition("/")[2]]
    if node.get("format") == CONNECTIONS:
        return value
    for option in node.get("anyOf", ()):
        found = _read(value, option, schema)
        if found is not value:
            return found
    kind = node.get("type")
    if isinstance(value, str) and kind in ("object", "array"):
        value = _structure(value, kind)
    if isinstance(value, dict) and kind == "object":
        for key, inner in node.get("properties", {}).items():
            if key in value:
                value[key] = _read(value[key], inner, schema)
    elif isinstance(value, list) and kind == "array":
        return [_read(item, node.get("items", {}), schema) for item in value]
    elif kind == "boolean" and str(value).lower() in ("true", "false"):
        return str(value).lower() == "true"
    elif kind in ("integer", "number"):
        return _number(value)
    elif node.get("format") == PROPORTION:
        return proportion(value)
    return value


def _structure(text: str, kind: str) -> Any:
    """A text that holds an object or a list, as a command line's quotes leave it."""
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError:
        return text
    return found if isinstance(found, {"object": dict, "array": list}[kind]) else text


def _decimal(value: Any) -> Decimal | None:
    """The number that was written, exactly; None where it is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    text = value.strip() if isinstance(value, str) else repr(value)
    if not NUMBER.fullmatch(text):
        return None
    return Decimal(text.replace("_", ""))


def _number(value: Any) -> Any:
    """An integer where it is whole, a float otherwise: 5, 5.0, "5" and "5e0" are the same."""
    exact = _decimal(value)
    if exact is None or isinstance(value, int):
        return value
    return int(exact) if exact == exact.to_integral_value() else float(exact)


def proportion(value: Any) -> Any:
    """A number between 0 and 1 as text: without an exponent, without zeros at its end.

    Examples
    --------
    >>> [proportion(value) for value in (0.1, "0.1", "1e-1", ".10", 1.0, "0")]
    ['0.1', '0.1', '0.1', '0.1', '1', '0']
    """
    exact = _decimal(value)
    if exact is None:
        return value
    return format(exact.normalize(), "f") if exact else "0"


def connections(value: Any, operator: str | None) -> Any:
    """An entry of ``conn``: a number of partners as an integer, a probability or proportion as text.

    Where an operator takes both, 1 is one partner and 1.0 is all of them; what is whole and above 1 can only be a number.

    Examples
    --------
    >>> [connections(value, "EventFixedNumConn") for value in (80, "80", "8e1", 1, "1.0", 0.1, "1e-1")]
    [80, 80, 80, 1, '1.0', '0.1', '0.1']
    >>> [connections(value, "EventFixedProb") for value in (0.1, "1e-1", 1, "1.0")]
    ['0.1', '0.1', '1', '1']
    """
    exact = _decimal(value)
    if exact is None:
        return value
    whole = exact == exact.to_integral_value()
    if operator in ("EventFixedProb", "EventDistanceProb") and exact <= 1:
        return proportion(value)
    digits = isinstance(value, int) or (isinstance(value, str) and DIGITS.fullmatch(value.strip()))
    if whole and (digits or exact > 1 or operator == "EventSparse"):
        return int(exact)
    text = proportion(value)
    return text if "." in text else f"{text}.0"
