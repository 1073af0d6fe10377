"""Samples of a specification with an analysis in place of a query."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from servicex_layer.errors import InvalidArgumentError
from servicex_layer.query import Analysis, DerivedQuery, InputEvents
from servicex_layer.submission._apply import apply_to_results, derive_twice

__all__ = ["AnalysedSample", "derive_queries"]


@dataclass(frozen=True)
class AnalysedSample:
    """The analysis of a sample, and the query that was derived from it."""

    analysis: Analysis
    events: InputEvents
    query: DerivedQuery

    def apply(
        self,
        request_id: str,
        backend: str,
        on_failed: str,
        max_failed: float,
        files_per_partition: int,
    ) -> Any:
        """Return what the analysis makes of the results of its request."""
        return apply_to_results(
            self.analysis,
            request_id,
            self.events,
            self.query,
            cut=True,
            backend=backend,
            on_failed=on_failed,
            max_failed=max_failed,
            files_per_partition=files_per_partition,
        )


def derive_queries(spec: Any, form: Any, tree: str | None) -> tuple[Any, dict[str, AnalysedSample]]:
    """Replace each sample's ``Analysis`` by the ``Query`` that it needs.

    Returns
    -------
    spec : object
        The specification; as it was, if no sample has an analysis.
    analyses : dict of str to AnalysedSample
        The samples with an analysis, by name.

    Raises
    ------
    InvalidArgumentError
        If `form` or `tree` is missing, a sample has both, or an analysis has no single query.
    FormError
        If `form` is not a form.
    """
    samples = spec.get("Sample") if isinstance(spec, Mapping) else None
    if not isinstance(samples, list) or not any("Analysis" in s for s in _mappings(samples)):
        return spec, {}
    if form is None or tree is None:
        raise InvalidArgumentError(
            "A sample with Analysis needs the form and the tree of its input: pass "
            "form='input.root' and tree='Events'."
        )
    events = InputEvents.of(form, tree, None, None)
    analyses = {}
    replaced = []
    for sample in samples:
        if not (isinstance(sample, Mapping) and "Analysis" in sample):
            replaced.append(sample)
            continue
        name = str(sample.get("Name"))
        if "Query" in sample:
            raise InvalidArgumentError(
                f"The sample {name!r} has both Query and Analysis. Leave out one."
            )
        query = derive_twice(sample["Analysis"], events, True)
        rest = {key: value for key, value in sample.items() if key != "Analysis"}
        replaced.append({**rest, "Query": query.query})
        analyses[name] = AnalysedSample(sample["Analysis"], events, query)
    return {**spec, "Sample": replaced}, analyses


def _mappings(samples: list[Any]) -> list[Mapping[str, Any]]:
    return [sample for sample in samples if isinstance(sample, Mapping)]
