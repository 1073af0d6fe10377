"""The names of results in the object store."""

from __future__ import annotations

import hashlib
import re

MAX_LENGTH = 255
"""The longest name of an object, in bytes of UTF-8."""

# "none" means that there is no result, and clients remove the dots from a URL
_RESERVED = frozenset({"", ".", "..", "none"})

# with a drive, or a share of another machine; the submission makes paths absolute
_WINDOWS_PATH = re.compile(r"[A-Za-z]:[/\\]|\\\\")


def object_name(path: str) -> str:
    """Return the name of the result of an input path.

    Slashes become colons, and so do the backslashes of a path on Windows: a client that saves a
    result by its name must not leave its directory. A long name becomes ``_``, the SHA-1 of the
    whole name, and its tail. Equal paths have equal names, as on a ServiceX server.
    """
    name = path.replace("/", ":")
    if _WINDOWS_PATH.match(path):
        name = name.replace("\\", ":")
    encoded = name.encode()
    if len(encoded) <= MAX_LENGTH and name not in _RESERVED:
        return name
    digest = hashlib.sha1(encoded, usedforsecurity=False).hexdigest()
    tail = encoded[-(MAX_LENGTH - len(digest) - 1) :].decode(errors="ignore")
    return f"_{digest}{tail}"
