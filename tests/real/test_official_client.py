"""The official client works with the embedded server, and gives the same events as this package."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import awkward as ak
import dask
import httpx
import pytest
import uproot
import yaml
from servicex import dataset, query

import servicex_layer as sxl
from servicex_layer._config import find_backend
from servicex_layer.backend._client import RestClient
from servicex_layer.errors import TransformCanceledError
from servicex_layer.local import LocalServiceX

# In a process of its own, as users run it.
DELIVER = """
import json, sys, servicex
files = servicex.deliver(sys.argv[1], config_path=sys.argv[2], progress_bar="none")
json.dump({name: list(paths) for name, paths in files.items()}, open(sys.argv[3], "w"))
"""


CANCEL = """
import sys
from servicex.servicex_client import ServiceXClient
ServiceXClient(config_path=sys.argv[1]).cancel_transform(sys.argv[2])
"""


@pytest.fixture
def service(minio_http, use_service, tmp_path):
    """Start a service with results in MinIO, and configure a cache of its own."""
    with LocalServiceX(store=minio_http, authentication=True, delay=2.0) as service:
        use_service(service)
        content = yaml.safe_load(service.servicex_yaml.read_text())
        path = tmp_path / "servicex.yaml"
        path.write_text(yaml.safe_dump({**content, "cache_path": str(tmp_path / "cache")}))
        dask.config.set({"servicex-layer.config-path": str(path)})
        yield service


@pytest.fixture
def spec(inputs, tmp_path):
    def spec(delivery="LocalCache", output_format="root-ttree"):
        path = tmp_path / "spec.yaml"
        path.write_text(
            f"General:\n  Delivery: {delivery}\n  OutputFormat: {output_format}\nSample:\n"
            f"  - Name: some\n    Dataset: !FileList {list(map(str, inputs))}\n"
            '    Query: !UprootRaw \'{"treename": "events", "filter_name": ["x", "v"]}\'\n'
        )
        return path

    return spec


@pytest.fixture
def deliver(tmp_path):
    """Run `servicex.deliver` of the official client."""

    def deliver(spec):
        answer = tmp_path / "answer.json"
        config = tmp_path / "servicex.yaml"
        run(sys.executable, "-c", DELIVER, str(spec), str(config), str(answer))
        return json.loads(answer.read_text())["some"]

    return deliver


def run(*command):
    process = subprocess.run(  # noqa: S603  (as a user would)
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        # The official client moves a cache below /tmp to the directory of temporary files.
        env={**os.environ, "TMPDIR": tempfile.gettempdir()},
    )
    assert process.returncode == 0, process.stderr + process.stdout
    return process.stdout


def servicex(*arguments):
    """Run the official client's program."""
    return run(str(Path(sys.executable).parent / "servicex"), *arguments)


def in_order(events):
    return events[ak.argsort(events.x)].to_list()


def status_of(request_id):
    async def ask():
        async with RestClient(find_backend(), 1.0).connected() as rest:
            return await rest.status(request_id)

    return asyncio.run(ask())


def request_of(array):
    (layer,) = (layer for layer in array.dask.layers.values() if hasattr(layer, "io_func"))
    return layer.io_func.request.request_id


FORM = "{x: float64, v: var * float64}"


@pytest.mark.parametrize("delivery", ["LocalCache", "URLs"])
def test_both_deliver_the_same_events(service, spec, deliver, delivery, tmp_path):
    lazy = sxl.deliver(spec(delivery), form=FORM, ignore_local_cache=True)["some"]
    assert not status_of(request_of(lazy)).is_terminal, "the array exists while the transform runs"
    ours = lazy.compute()
    files = deliver(spec(delivery))
    assert service.traffic.calls["submit"] == 1, "the local cache is the same"
    assert all(path.startswith("http") for path in files) == (delivery == "URLs")
    if delivery == "URLs":
        files = [fetched(url, tmp_path / f"{number}.root") for number, url in enumerate(files)]
    theirs = uproot.dask(dict.fromkeys(files, "events")).compute()
    assert in_order(ours) == in_order(theirs[["x", "v"]])
    assert len(ours) == 40


def fetched(url, path):
    # Uproot calls HEAD for the size, for which these URLs are not signed.
    path.write_bytes(httpx.get(url).raise_for_status().content)
    return str(path)


def test_a_submission_of_the_official_client_is_reused(service, spec, deliver):
    deliver(spec())
    events = sxl.deliver(spec())["some"]
    assert len(events.compute()) == 40
    assert service.traffic.calls["submit"] == 1


@pytest.mark.parametrize("output_format", ["root-rntuple", "parquet"])
def test_both_deliver_other_formats(service, spec, deliver, output_format):
    ours = sxl.deliver(spec(output_format=output_format))["some"].compute()
    files = deliver(spec(output_format=output_format))
    if output_format == "parquet":
        theirs = ak.concatenate([ak.from_parquet(path) for path in files])
    else:
        theirs = uproot.concatenate(dict.fromkeys(files, "events"))
    assert in_order(ours) == in_order(theirs)


def test_the_official_client_lists_and_cancels(service, spec, inputs, tmp_path):
    config = tmp_path / "servicex.yaml"
    many = dataset.FileList([f"{path}?{number}" for path in inputs for number in range(50)])
    request_id = sxl.submit(query.UprootRaw({"treename": "events"}), many, title="to be canceled")
    events = sxl.from_servicex(request_id, form=FORM)
    listed = servicex("transforms", "list", "--running", "--config", str(config))
    assert request_id[:8] in listed, "the column is narrow"
    run(sys.executable, "-c", CANCEL, str(config), request_id)
    assert status_of(request_id).status == "Canceled"
    with pytest.raises(TransformCanceledError, match=request_id):
        events.compute()
