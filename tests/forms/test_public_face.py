from __future__ import annotations

import inspect
import re
from pathlib import Path

import servicex_layer as sxl
from servicex_layer import forms

PUBLIC = [
    "as_form",
    "datashape",
    "datashape_of",
    "from_func_adl",
    "from_sample",
    "from_uproot_raw",
]


def test_tab_completion_lists_only_what_is_documented():
    assert dir(sxl.forms) == sorted(forms.__all__) == PUBLIC


def test_every_public_name_is_a_function_with_a_docstring():
    for name in PUBLIC:
        function = getattr(forms, name)
        assert inspect.isfunction(function)
        assert inspect.getdoc(function)


def test_the_api_page_documents_the_package():
    page = Path(__file__).parents[2] / "docs" / "api" / "forms.md"
    assert re.search(r"automodule:: servicex_layer\.forms\s+:members:", page.read_text())
