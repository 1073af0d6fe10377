"""The names of results in the object store."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable

MAX_LENGTH = 200
"""The longest name of an object, in bytes of UTF-8."""

# "none" means that there is no result, and clients remove the dots from a URL
_RESERVED = frozenset({"", ".", "..", "none"})


def object_names(paths: Iterable[str]) -> list[str]:
    """Return a unique name for the result of each input path.

    Slashes become colons, and a long name keeps its tail behind a hash, as on a ServiceX server.
    """
    names: dict[str, None] = {}
    repeats: Counter[str] = Counter()
    for path in paths:
        name = _object_name(path)
        while name in names:
            repeats[path] += 1
            name = _object_name(f"{repeats[path]}:{path}")
        names[name] = None
    return list(names)


def _object_name(path: str) -> str:
    name = path.replace("/", ":")
    encoded = name.encode()
    if len(encoded) <= MAX_LENGTH and name not in _RESERVED:
        return name
    digest = hashlib.sha256(encoded).hexdigest()[:32]
    tail = encoded[-(MAX_LENGTH - len(digest) - 1) :].decode(errors="ignore")
    return f"{digest}_{tail}"
