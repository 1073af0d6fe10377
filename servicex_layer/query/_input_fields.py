"""The fields of an event as columns of the input."""

from __future__ import annotations

from functools import partial
from typing import Any
from urllib.parse import unquote

from awkward.forms import Form

from servicex_layer.query._expression import Column
from servicex_layer.query._per_event import PerEvent
from servicex_layer.query._values import values_of

__all__ = ["input_fields"]

# What coffea's schemas do to a column that is presented unchanged.
_UNCHANGED = {"!load", "!content"}


def input_fields(reader: Any) -> PerEvent:
    """Return the fields that a reader's arrays have, with or without a form mapping."""
    if hasattr(reader, "info"):
        return PerEvent(field=partial(_mapped_field, reader.info, reader.expected_form, ()))
    return PerEvent(field=partial(_field, reader.form))


def _field(form: Form, name: str) -> PerEvent:
    values = values_of(form.content(name)) if name in form.fields else None
    if values is None:
        return PerEvent(reason=f"{name!r} holds no plain numbers")
    return PerEvent(expression=Column(name, values))


def _mapped_field(info: Any, form: Form, lists: tuple[Form, ...], name: str) -> PerEvent:
    """Return a field of a form mapping: a column, if its numbers are those of one column."""
    if name not in form.fields:
        return PerEvent(reason=f"the property {name!r}")
    content = form.content(name)
    inner = content
    while inner.is_list or inner.is_option or inner.is_indexed:
        lists, inner = (*lists, inner), inner.content
    if inner.is_record:
        return PerEvent(field=partial(_mapped_field, info, inner, lists))
    columns = _columns_of_data(info, inner)
    values = values_of(_within(lists, inner))
    if values is None or len(columns) != 1:
        return PerEvent(reason=f"{name!r} is not a column of the input")
    (column,) = columns
    return PerEvent(expression=Column(column, values))


def _columns_of_data(info: Any, form: Form) -> frozenset[str]:
    """Return the column that the numbers are read from, unless a mapping changes them."""
    if not form.is_numpy or not form.form_key:
        return frozenset()
    # coffea's form keys list what is done to a column, quoted once or twice; other mappings have
    # other keys, of which nothing is known.
    steps = {step for step in unquote(unquote(form.form_key)).split(",") if step.startswith("!")}
    if "!load" not in steps or not steps <= _UNCHANGED:
        return frozenset()
    key = info.buffer_key(form_key=form.form_key, attribute="data", form=form)
    columns: frozenset[str] = info.keys_for_buffer_keys(frozenset({key}))
    return columns


def _within(lists: tuple[Form, ...], form: Form) -> Form:
    for around in reversed(lists):
        form = around.copy(content=form)
    return form
