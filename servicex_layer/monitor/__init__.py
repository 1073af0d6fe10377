"""How far requests are while they run, and stopping them."""

from __future__ import annotations

from servicex_layer.backend import RequestStatus
from servicex_layer.monitor._cancel import cancel
from servicex_layer.monitor._progress import progress
from servicex_layer.monitor._request_statuses import RequestStatuses
from servicex_layer.monitor._status import status

__all__ = ["RequestStatus", "RequestStatuses", "cancel", "progress", "status"]
