"""Waiting for the last file of a request, as an analysis without this package begins."""

from __future__ import annotations

import time

import httpx

from servicex_layer._config import find_backend


def wait_for_results(request_id: str, interval: float = 0.25) -> list[str]:
    """Wait until a request is complete, and return the names of its result files."""
    url = f"{find_backend().url}/servicex/transformation/{request_id}"
    with httpx.Client(trust_env=False) as http:
        while http.get(url).json()["status"] != "Complete":
            time.sleep(interval)
        rows = http.get(f"{url}/results").json()["results"]
    return [row["s3-object-name"] for row in rows]


def wait_for_urls(request_id: str, interval: float = 0.25) -> list[str]:
    """Wait until a request is complete, and return the URLs of its result files."""
    names = wait_for_results(request_id, interval)
    body = {"request_id": request_id, "file_list": names, "scheme": "http"}
    url = f"{find_backend().url}/servicex/transformation/file-urls"
    uris = httpx.post(url, json=body, trust_env=False).json()["uris"]
    return [uris[name][0] for name in names]
