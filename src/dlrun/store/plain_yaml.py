"""YAML as run folders hold it: plain values, without aliases."""

import functools
import re
from typing import Any

import yaml


def parse_yaml(text: str) -> Any:
    """`yaml.safe_load`; top-level entries are parsed apart and remembered, since a sweep's runs share most.

    Raises:
        yaml.YAMLError: The text is no YAML, or has aliases (dlrun writes none; they can unfold without end).
    """
    entries = re.split(r"^(?=[A-Za-z_])", text, flags=re.MULTILINE)
    parts = [_entry(entry) for entry in entries if entry]
    if not all(isinstance(part, dict) for part in parts):
        _refuse_aliases(text)
        return yaml.load(text, _Loader)
    return {key: value for part in parts for key, value in part.items()}


def _refuse_aliases(text: str) -> None:
    if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, _Loader)):
        raise yaml.YAMLError("aliases are not read")


_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@functools.lru_cache(maxsize=10_000)
def _entry(text: str) -> Any:
    try:
        _refuse_aliases(text)
        return yaml.load(text, _Loader)
    except yaml.YAMLError:
        return None
