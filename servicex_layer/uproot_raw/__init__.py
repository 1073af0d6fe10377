"""Runs an ``uproot-raw`` query on a file."""

from __future__ import annotations

from servicex_layer.uproot_raw._language import expression_language
from servicex_layer.uproot_raw._query import CODEGEN, RESULT_FORMATS, parse_selection
from servicex_layer.uproot_raw._run import run_query

__all__ = ["CODEGEN", "RESULT_FORMATS", "expression_language", "parse_selection", "run_query"]
