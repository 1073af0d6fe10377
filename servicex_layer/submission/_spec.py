"""Reading a specification as the official client does."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from servicex_layer.errors import InvalidArgumentError
from servicex_layer.submission._frontend import frontend_installed

if TYPE_CHECKING:
    from servicex import ServiceXSpec

__all__ = ["parse_spec"]


def parse_spec(spec: ServiceXSpec | Mapping[str, Any] | str | Path) -> ServiceXSpec:
    """Read a specification in any form that ``servicex.deliver`` takes.

    Raises
    ------
    MissingExtraError
        If the official client is not installed.
    InvalidArgumentError
        If `spec` is not a valid specification, or a dataset is an empty list of files.
    """
    with frontend_installed():
        from servicex import ServiceXSpec
    if isinstance(spec, ServiceXSpec):
        parsed = spec.model_copy(deep=True)
    else:
        parsed = _parse(spec, ServiceXSpec)
    _check_datasets(parsed)
    return parsed


def _parse(spec: Mapping[str, Any] | str | Path, spec_class: type[ServiceXSpec]) -> ServiceXSpec:
    content = _read_yaml(Path(spec)) if isinstance(spec, str | Path) else spec
    if not isinstance(content, Mapping):
        raise InvalidArgumentError(
            f"A ServiceX specification must be a mapping with the key Sample, not {content!r}."
        )
    try:
        return spec_class(**content)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InvalidArgumentError(f"The ServiceX specification is not valid: {error}") from error


def _check_datasets(spec: ServiceXSpec) -> None:
    """Check that no dataset is an empty list of files."""
    from servicex.dataset import FileList

    for sample in spec.Sample:
        if isinstance(sample.Dataset, FileList) and not sample.Dataset.files:
            raise InvalidArgumentError(
                f"The dataset of the sample {sample.Name!r} is an empty list of files. Pass at "
                "least one path or URL."
            )


def _read_yaml(path: Path) -> Any:
    from ruamel.yaml.error import YAMLError
    from servicex.yaml_parser import YAML

    parser: Any = YAML()
    for group in ("servicex.query", "servicex.dataset"):
        for entry in entry_points(group=group):
            parser.register_class(entry.load())
    try:
        return parser.load(path)
    except OSError as error:
        raise InvalidArgumentError(
            f"The ServiceX specification {path} cannot be read: {error.strerror}."
        ) from error
    except (YAMLError, ValueError) as error:
        raise InvalidArgumentError(
            f"The ServiceX specification {path} is not valid YAML: {error}"
        ) from error
