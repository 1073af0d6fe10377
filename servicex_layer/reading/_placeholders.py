"""Lists of which only the lengths are read: their items are placeholders."""

from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np
from awkward.forms import Form, form_with_unique_keys
from awkward.typetracer import PlaceholderArray, unknown_length

from servicex_layer.reading._unread_buffer import numpy_backend

__all__ = ["lists_of_lengths"]


def lists_of_lengths(lengths: Any, form: Form) -> ak.contents.Content:
    """Return lists of known lengths, with placeholders for their items.

    Parameters
    ----------
    lengths : numpy.ndarray
        The length of each list.
    form : awkward.forms.Form
        The form of their items.
    """
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    keyed = form_with_unique_keys(form, "@")
    buffers = {key: _placeholder(dtype) for key, dtype in keyed.expected_from_buffers().items()}
    items = ak.from_buffers(keyed, int(offsets[-1]), buffers, highlevel=False)
    return ak.contents.ListOffsetArray(ak.index.Index64(offsets), items)


def _placeholder(dtype: np.dtype[Any]) -> Any:
    return PlaceholderArray(nplike=numpy_backend(), shape=(unknown_length,), dtype=dtype)
