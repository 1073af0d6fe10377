from __future__ import annotations

import asyncio
import sys

import dask
import pytest
import yaml
from dask.base import compute
from distributed import Client
from servicex import ServiceXSpec, dataset, query

import servicex_layer as sxl
from servicex_layer._config import find_backend
from servicex_layer.backend._client import RestClient
from servicex_layer.errors import (
    AuthorizationError,
    BackendUnreachableError,
    BadDatasetError,
    ConfigError,
    FailedFilesError,
    InvalidArgumentError,
    MissingExtraError,
)
from servicex_layer.local import Faults, LocalServiceX
from servicex_layer.submission._deliver import FailedSample

FORM = "{x: float64}"
QUERY = query.UprootRaw({"treename": "events", "filter_name": ["x"]})


@pytest.fixture
def configured(use_service, tmp_path):
    """Use a service with a cache of queries that is this test's own."""

    def configured(service):
        use_service(service)
        path = tmp_path / "servicex.yaml"
        content = yaml.safe_load(service.servicex_yaml.read_text())
        path.write_text(yaml.safe_dump({**content, "cache_path": str(tmp_path / "cache")}))
        dask.config.set({"servicex-layer.config-path": str(path)})
        return path

    return configured


@pytest.fixture
def service(shared_service, configured):
    configured(shared_service)
    shared_service.traffic.reset()
    return shared_service


@pytest.fixture(scope="module")
def failing_service(nothing_left):
    with LocalServiceX(faults=Faults(failing=frozenset({1}))) as service:
        yield service


def sample(name, files, **more):
    return {"Name": name, "Dataset": dataset.FileList(list(map(str, files))), "Query": QUERY} | more


def request_of(array):
    (layer,) = (one for one in array.dask.layers.values() if hasattr(one, "io_func"))
    return layer.io_func.request_id


def status_of(request_id):
    async def ask():
        async with RestClient(find_backend(), 1.0).connected() as rest:
            return await rest.status(request_id)

    return asyncio.run(ask())


def values(*indices):
    return sorted(100.0 * index + x for index in indices for x in range(10))


def test_each_sample_is_an_array_and_all_are_submitted_once(service, inputs):
    spec = {"Sample": [sample("first", inputs[:3]), sample("last", inputs[3:])]}
    samples = sxl.deliver(spec, form=FORM)
    assert {name: array.npartitions for name, array in samples.items()} == {"first": 3, "last": 1}
    found = compute(samples)[0]
    assert sorted(found["first"].x) == values(0, 1, 2)
    assert sorted(found["last"].x) == values(3)
    again = sxl.deliver(spec, form=FORM)
    assert [request_of(again[name]) for name in again] == [
        request_of(samples[name]) for name in samples
    ]
    assert service.traffic.calls["submit"] == 2


def test_arrays_are_there_before_the_transform_is_over(configured, inputs):
    with LocalServiceX(faults=Faults(never=frozenset({3})), lookup_time=0.2) as service:
        configured(service)
        events = sxl.deliver({"Sample": [sample("slow", inputs)]}, form=FORM)["slow"]
        assert events.npartitions == 4
        assert status_of(request_of(events)).status == "Running"
        assert sorted(events.partitions[:3].x.compute()) == values(0, 1, 2)


def test_what_servicex_deliver_takes_is_taken(service, inputs, tmp_path):
    as_mapping = {"General": {"OutputFormat": "parquet"}, "Sample": [sample("one", inputs[:2])]}
    path = tmp_path / "spec.yaml"
    path.write_text(
        "General:\n  OutputFormat: parquet\nSample:\n"
        f"  - Name: one\n    Dataset: !FileList {list(map(str, inputs[:2]))}\n"
        '    Query: !UprootRaw \'{"treename": "events", "filter_name": ["x"]}\'\n'
    )
    for spec in (as_mapping, ServiceXSpec(**as_mapping), path, str(path)):
        events = sxl.deliver(spec)["one"]
        assert sorted(events.x.compute()) == values(0, 1)
    assert service.traffic.calls["submit"] == 1, "they are all the same query"


def test_what_is_asked_to_be_submitted_anew_is(service, inputs):
    spec = {"Sample": [sample("one", inputs[:1])]}
    first = request_of(sxl.deliver(spec)["one"])
    assert request_of(sxl.deliver(spec, ignore_local_cache=True)["one"]) != first
    spec["Sample"][0]["IgnoreLocalCache"] = True
    sxl.deliver(spec)
    sxl.deliver({"General": {"IgnoreLocalCache": True}, "Sample": [sample("one", inputs[:1])]})
    assert service.traffic.calls["submit"] == 4


def test_a_sample_that_fails_raises_for_itself_only(service, inputs):
    bad = {"Name": "bad", "Dataset": dataset.Rucio("scope:name"), "Query": QUERY}
    samples = sxl.deliver({"Sample": [bad, sample("good", inputs[:1])]}, form=FORM)
    assert sorted(samples["good"].x.compute()) == values(0)
    assert isinstance(samples["bad"], FailedSample)
    assert "BadDatasetError" in repr(samples)
    for use in (
        lambda: samples["bad"].x,
        lambda: samples["bad"]["x"],
        lambda: len(samples["bad"]),
        lambda: list(samples["bad"]),
        lambda: compute(samples),
    ):
        with pytest.raises(BadDatasetError, match="knows no dataset"):
            use()


def test_what_has_failed_is_submitted_again(service, inputs):
    bad = {"Name": "bad", "Dataset": dataset.Rucio("scope:name"), "Query": QUERY}
    sxl.deliver({"Sample": [bad]})
    sxl.deliver({"Sample": [bad]})
    assert service.traffic.calls["submit"] == 2


def test_what_is_gone_is_submitted_again(service, inputs):
    import httpx

    spec = {"Sample": [sample("one", inputs[:1])]}
    request_id = request_of(sxl.deliver(spec)["one"])
    refresh = yaml.safe_load(service.servicex_yaml.read_text())["api_endpoints"][0]["token"]
    token = httpx.post(
        f"{service.url}/token/refresh", headers={"Authorization": f"Bearer {refresh}"}
    ).json()["access_token"]
    httpx.delete(
        f"{service.url}/servicex/transformation/{request_id}",
        headers={"Authorization": f"Bearer {token}"},
    ).raise_for_status()
    assert sorted(sxl.deliver(spec)["one"].x.compute()) == values(0)
    assert service.traffic.calls["submit"] == 2


def test_failed_files_are_an_error_unless_an_incomplete_sample_is_wanted(
    failing_service, configured, inputs
):
    configured(failing_service)
    failing_service.traffic.reset()
    spec = {"Sample": [sample("some", inputs)]}
    with pytest.raises(FailedFilesError, match="1 of 4 files failed"):
        sxl.deliver(spec, form=FORM)["some"].x.compute()
    with pytest.warns(match="1 of 4 files failed"):
        events = sxl.deliver(spec, form=FORM, fail_if_incomplete=False)["some"].x.compute()
    assert sorted(events) == values(0, 2, 3)
    assert failing_service.traffic.calls["submit"] == 1, "an incomplete one is what was wanted"
    with pytest.raises(FailedFilesError):
        sxl.deliver(spec, form=FORM)["some"].x.compute()
    assert failing_service.traffic.calls["submit"] == 2, "another one may be complete"


def test_the_report_of_each_sample(service, inputs):
    events, report = sxl.deliver({"Sample": [sample("one", inputs[:2])]}, report=True)["one"]
    found, told = compute(events, report)
    assert (len(found), len(told)) == (20, 2)


def test_a_configuration_that_is_named_is_computed_with(configured, inputs, shared_service):
    path = configured(shared_service)
    dask.config.set({"servicex-layer.config-path": None})
    samples = sxl.deliver({"Sample": [sample("one", inputs[:1])]}, config_path=path, form=FORM)
    assert sorted(samples["one"].x.compute()) == values(0)


def test_submit_gives_the_id_of_one_query(service, inputs):
    files = dataset.FileList([str(inputs[0])])
    request_id = sxl.submit(QUERY, files, output_format="root-rntuple")
    assert sxl.submit(QUERY, files, output_format="root-rntuple") == request_id
    assert sxl.submit(QUERY, files, output_format="parquet") != request_id
    assert sorted(sxl.from_servicex(request_id).x.compute()) == values(0)


def test_submit_of_a_selection_that_is_a_text(service, inputs):
    files = dataset.FileList([str(inputs[0])])
    text = '[{"treename": "events"}]'
    request_id = sxl.submit(text, files, codegen="uproot-raw", title="a title")
    assert sorted(sxl.from_servicex(request_id).x.compute()) == values(0)


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({}, "Sample"),
        ({"Sample": [{"Name": "x"}]}, "Must specify one of Dataset"),
        ([1], "mapping with the key Sample"),
        ("no-such.yaml", "no-such.yaml cannot be read"),
    ],
)
def test_what_is_no_specification(service, spec, text):
    with pytest.raises(InvalidArgumentError, match=text):
        sxl.deliver(spec)


def test_two_samples_of_one_name(service, inputs):
    spec = {"Sample": [sample("one", inputs[:1]), sample("one", inputs[1:])]}
    with pytest.raises(InvalidArgumentError, match=r"Several samples .* are called one"):
        sxl.deliver(spec)
    assert service.traffic.calls["submit"] == 0


def test_samples_on_a_cluster_share_one_poller(service, inputs, cluster_of_processes):
    spec = {"Sample": [sample(str(number), inputs[number:]) for number in range(4)]}
    with Client(cluster_of_processes):
        samples = sxl.deliver(spec, form=FORM)
        found = compute(samples)[0]
    assert [sorted(found[str(number)].x) for number in range(4)] == [
        values(*range(number, 4)) for number in range(4)
    ]
    assert service.traffic.calls["info"] <= 2 + 4, "each request's feed asks once"


def test_a_file_that_is_no_yaml(service, tmp_path):
    path = tmp_path / "spec.yaml"
    path.write_text("Sample: [")
    with pytest.raises(InvalidArgumentError, match=r"spec\.yaml is no good YAML"):
        sxl.deliver(path)


def test_a_sample_without_a_good_query_fails_for_itself(service, inputs):
    spec = {
        "Sample": [
            sample("none", inputs[:1], Query=None),
            sample("text", inputs[1:2], Query="[]"),
            sample("other", inputs[2:3], Query="[]", Codegen="no-such"),
            sample("good", inputs[3:]),
        ]
    }
    samples = sxl.deliver(spec, form=FORM)
    with pytest.raises(InvalidArgumentError, match=r"'none' has no good query"):
        samples["none"].compute()
    with pytest.raises(InvalidArgumentError, match=r"'text' has no good query.*codegen"):
        samples["text"].compute()
    with pytest.raises(InvalidArgumentError, match=r"no code generator 'no-such', but uproot-raw"):
        samples["other"].compute()
    assert sorted(samples["good"].x.compute()) == values(3)


def test_without_a_configuration(service, tmp_path, inputs):
    with pytest.raises(ConfigError, match=r"no ServiceX configuration at .*nowhere"):
        sxl.deliver({"Sample": [sample("x", inputs)]}, config_path=tmp_path / "nowhere.yaml")


def test_a_backend_that_is_not_there(tmp_path, inputs):
    path = tmp_path / "servicex.yaml"
    endpoint = {"name": "gone", "endpoint": "http://127.0.0.1:9"}
    path.write_text(yaml.safe_dump({"api_endpoints": [endpoint]}))
    with (
        dask.config.set({"servicex-layer.retry-timeout": "0s"}),
        pytest.raises(BackendUnreachableError, match="gone"),
    ):
        sxl.deliver({"Sample": [sample("x", inputs)]}, config_path=path)


def test_a_token_that_is_rejected(service, configured, inputs):
    path = configured(service)
    content = yaml.safe_load(path.read_text())
    content["api_endpoints"][0]["token"] = "not-this-one"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(AuthorizationError, match="rejected"):
        sxl.deliver({"Sample": [sample("x", inputs)]})


def test_without_the_official_client(service, monkeypatch, inputs):
    monkeypatch.setitem(sys.modules, "servicex", None)
    with pytest.raises(MissingExtraError, match=r"servicex_layer\[servicex\]"):
        sxl.deliver({"Sample": []})
