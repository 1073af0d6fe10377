"""A request's state as JSON."""

from __future__ import annotations

from typing import Any

from servicex_layer.backend import RequestStatus

__all__ = ["status_as_json"]


def status_as_json(status: RequestStatus) -> dict[str, Any]:
    """Return what the commands ``status`` and ``cancel`` print with ``--json``."""
    return {
        "request_id": status.request_id,
        "status": status.state,
        "files": status.files,
        "completed": status.finished,
        "failed": status.failed,
        "file_count_final": status.file_count_final,
        "is_terminal": status.is_terminal,
        "result_format": status.result_format,
        "failed_inputs": status.failed_inputs,
        "failure_info": status.reason,
        "log_url": status.log_url,
    }
