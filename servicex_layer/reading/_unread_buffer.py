"""Buffers of awkward arrays that are read when they are touched.

This is the only module that uses `VirtualNDArray`, which is private to awkward: a virtual array of
awkward's own loses track of what it is a part of when it is sliced, can't be pickled without being
read, and isn't safe to touch from several threads. `tests/reading/test_unread_buffer.py` fails if
awkward changes it.
"""

from __future__ import annotations

import functools
import inspect
import io
import pickle
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import awkward as ak
import cloudpickle
import numpy as np
from awkward._nplikes.virtual import VirtualNDArray
from awkward.contents import Content
from awkward.forms import Form
from awkward.index import Index
from awkward.typetracer import PlaceholderArray, unknown_length

__all__ = [
    "Generator",
    "LateBuffer",
    "LateBuffers",
    "is_unread",
    "is_virtual",
    "numpy_backend",
    "picklable",
    "unread_array",
    "unread_index",
    "unread_values",
]

Shape = tuple[int | None, ...]


class Generator(Protocol):
    """Makes a buffer; can be pickled."""

    @property
    def is_read(self) -> bool:
        """Whether making it reads nothing."""
        ...

    def __call__(self) -> Any:
        """Return the buffer, of one dimension unless it was read before it was cut."""
        ...


class LateBuffers:
    """Buffers that are loaded when they are touched, each once; safe to use from several threads.

    Parameters
    ----------
    load : callable
        Takes a key; returns the buffer of that key, and of other keys if it got these as well. It
        can be pickled, and so can this, without what was loaded.
    """

    def __init__(self, load: Callable[[str], Mapping[str, Any]]) -> None:
        self._load = load
        self._buffers: dict[str, Any] = {}
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle it without what was loaded."""
        return LateBuffers, (self._load,)

    def __contains__(self, key: str) -> bool:
        return key in self._buffers

    def __getitem__(self, key: str) -> Any:
        with self._lock:
            if key not in self._buffers:
                self._buffers = {**self._load(key), **self._buffers}
            return self._buffers[key]

    def clear(self) -> None:
        """Forget what was loaded."""
        with self._lock:
            self._buffers = {}


@dataclass(frozen=True)
class LateBuffer:
    """Makes one of `LateBuffers`."""

    buffers: LateBuffers
    key: str

    @property
    def is_read(self) -> bool:
        return self.key in self.buffers

    def __call__(self) -> Any:
        return self.buffers[self.key]


@dataclass(frozen=True)
class _Slice:
    """Makes a part of a buffer."""

    whole: UnreadBuffer
    where: slice

    @property
    def is_read(self) -> bool:
        return self.whole.is_materialized

    def __call__(self) -> Any:
        return self.whole.materialize()[self.where]


@dataclass(frozen=True)
class _Values:
    """Has the values of a buffer that was read."""

    values: Any
    is_read = True

    def __call__(self) -> Any:
        return self.values


class _Derived:
    """Makes a buffer from others by a function of awkward, such as one that joins them."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function = function
        self._buffer: Any = None
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        pickled = io.BytesIO()
        _ClosurePickler(pickled).dump(self._function)
        return _load_derived, (pickled.getvalue(),)

    @property
    def is_read(self) -> bool:
        return self._buffer is not None

    def __call__(self) -> Any:
        with self._lock:
            if self._buffer is None:
                self._buffer = np.asarray(self._function())
            return self._buffer


_GENERATORS = (LateBuffer, _Slice, _Values, _Derived)


def _load_derived(pickled: bytes) -> _Derived:
    return _Derived(pickle.loads(pickled))  # noqa: S301  (it is part of another pickle)


class _ClosurePickler(cloudpickle.Pickler):  # type: ignore[misc]
    """Pickles the lambdas with which awkward derives a virtual array from others, unread."""

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, VirtualNDArray):
            return _unread_buffer, _shape_dtype_generator(obj)
        return super().reducer_override(obj)


class UnreadBuffer(VirtualNDArray):  # type: ignore[misc]
    """A buffer that is read when it is touched."""

    _shape: Any

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle what makes it, or its values if it was read already."""
        return _unread_buffer, _shape_dtype_generator(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> UnreadBuffer:
        """Return a buffer that copies the values when they are touched."""
        shape, dtype, _ = _shape_dtype_generator(self)
        return _unread_buffer(shape, dtype, _Derived(partial(_copy_of, self)))

    @property
    def is_materialized(self) -> bool:
        """Whether touching it reads nothing."""
        return bool(getattr(self._generator, "is_read", False))

    @property
    def nbytes(self) -> int:
        """Size in memory, in bytes; 0 before it is read."""
        return int(self.materialize().nbytes) if self.is_materialized else 0

    def get_shape(self) -> None:
        """Read it for its shape."""
        self.materialize()

    def materialize(self) -> Any:
        """Return the values.

        What makes it keeps them. awkward would keep them here, and drop what makes them, which
        another thread may be about to call.
        """
        values = np.asarray(self._generator())
        if len(self._shape) > 1:
            values = values.reshape(-1, *self._shape[1:])
        if self._shape[0] is unknown_length:
            self._shape = values.shape
            self._shape_is_known = True
        if len(values) < self._shape[0] or values.dtype != self._dtype:
            raise ValueError(
                f"a buffer was read as {len(values)} values of {values.dtype}, and should have "
                f"{self._shape[0]} of {self._dtype}"
            )
        return np.ascontiguousarray(values[: self._shape[0]])

    def __getitem__(self, where: Any) -> Any:
        part = super().__getitem__(where)
        if isinstance(where, slice) and isinstance(part, UnreadBuffer) and part is not self:
            part._generator = _Slice(self, where)
        return part


@functools.cache
def numpy_backend() -> Any:
    """Return awkward's interface to NumPy, to which only undocumented attributes lead."""
    return ak.contents.NumpyArray(np.empty(0)).backend.nplike


@functools.cache
def _take_for_contiguous() -> None:
    """Have awkward take unread buffers for contiguous, as they are, without reading them.

    `ak.count` asks whether numbers are contiguous, and needs none of them. The method is private;
    if awkward doesn't ask this way any more, it reads what it counts, and a test in
    tests/reading/test_unread_buffer.py fails.
    """
    numpy = numpy_backend()
    is_contiguous = numpy.is_c_contiguous
    numpy.is_c_contiguous = lambda buffer: isinstance(buffer, UnreadBuffer) or is_contiguous(buffer)


def _copy_of(buffer: UnreadBuffer) -> Any:
    return buffer.materialize().copy()


def unread_values(length: int | None, dtype: np.dtype[Any], generator: Generator) -> UnreadBuffer:
    """Return a buffer that is read when it is touched; ``None`` is a length not known before."""
    return _unread_buffer((length,), dtype, generator)


def unread_index(length: int | None, dtype: np.dtype[Any], generator: Generator) -> Index:
    """Return such a buffer as an index of awkward."""
    buffer = unread_values(length, dtype, generator)
    index = Index(buffer)
    # It holds a virtual array that makes a contiguous copy.
    index._data = buffer
    return index


def _unread_buffer(shape: Shape, dtype: np.dtype[Any], generator: Generator) -> UnreadBuffer:
    sizes = tuple(unknown_length if size is None else size for size in shape)
    _take_for_contiguous()
    return UnreadBuffer(numpy_backend(), sizes, dtype, generator, __enable_caching__=False)


def _shape_dtype_generator(buffer: Any) -> tuple[Shape, np.dtype[Any], Generator]:
    return _known_shape(buffer), buffer.dtype, _generator_of(buffer)


def _known_shape(buffer: Any) -> Shape:
    # Not `shape`, which reads the buffer if it is not known.
    return tuple(None if size is unknown_length else size for size in buffer._shape)


def _generator_of(buffer: Any) -> Generator:
    """Return what makes a virtual array, to be pickled; one that is not of this package is read."""
    generator = buffer._generator
    if isinstance(generator, _GENERATORS):
        return _Values(buffer.materialize()) if generator.is_read else generator
    qualified_name = getattr(generator, "__qualname__", "")
    if qualified_name == "ArrayModuleNumpyLike.ascontiguousarray.<locals>.<lambda>":
        # awkward makes a contiguous copy of each index. Without this, it is `_Derived`.
        return _generator_of(inspect.getclosurevars(generator).nonlocals["x"])
    # Where awkward derives a virtual array from others, it has a lambda.
    is_derived = qualified_name.endswith("<lambda>") and not buffer.is_materialized
    return _Derived(generator) if is_derived else _Values(buffer.materialize())


def is_virtual(buffer: Any) -> bool:
    """Return whether a buffer of an array is read when it is touched, or was."""
    return isinstance(buffer, VirtualNDArray)


def is_unread(buffer: Any) -> bool:
    """Return whether touching a buffer of an array may read a file."""
    return is_virtual(buffer) and not buffer.is_materialized


def picklable(buffer: Any) -> Any:
    """Return what makes a buffer that is not read yet, for `unread_array`; else its values."""
    if is_unread(buffer):
        generator = _generator_of(buffer)
        if not generator.is_read:
            return generator
    return buffer if isinstance(buffer, PlaceholderArray) else np.ascontiguousarray(buffer)


def unread_array(
    form: Form,
    length: int,
    container: Mapping[str, Any],
    buffer_key: Any = "{form_key}-{attribute}",
) -> Content:
    """Make an array with buffers that are read when they are touched.

    Parameters
    ----------
    form : awkward.forms.Form
        Its form, whose nodes have keys.
    length : int
        Its length.
    container : mapping
        By the keys of the form what makes each buffer, a `Generator`, or the buffer itself.
    buffer_key : str or callable
        As in `awkward.from_buffers`.
    """
    array = ak.from_buffers(form, length, container, buffer_key=buffer_key, highlevel=False)
    _replace_virtual(array, form, container, buffer_key)
    return array


def _replace_virtual(
    array: Content, form: Form, container: Mapping[str, Any], buffer_key: Any
) -> None:
    """Replace awkward's own virtual arrays, which know their shapes, by unread buffers."""
    keys = form.expected_from_buffers(buffer_key, recursive=False)
    attributes = form.expected_from_buffers("{attribute}", recursive=False)
    for key, attribute in zip(keys, attributes, strict=True):
        if isinstance(container[key], _GENERATORS):
            # An index of awkward holds a virtual array that makes a contiguous copy.
            holder = array if attribute == "data" else getattr(array, attribute)
            holder._data = _unread_buffer(
                _known_shape(holder.data), holder.data.dtype, container[key]
            )
    if form.is_record or form.is_union:
        for content, content_form in zip(array.contents, form.contents, strict=True):
            _replace_virtual(content, content_form, container, buffer_key)
    elif hasattr(form, "content"):
        _replace_virtual(array.content, form.content, container, buffer_key)
