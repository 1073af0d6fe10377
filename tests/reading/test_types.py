"""Columns of every type and format are equal to what Uproot and pyarrow read from the file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import awkward as ak
import dask.config
import hypothesis.strategies as st
import pyarrow.parquet as pq
import pytest
import uproot
from awkward.forms import RecordForm
from hypothesis import Phase, given, settings
from strategies import BRANCH_NAMES, anything, in_ttree  # type: ignore[import-not-found]

from servicex_layer._model import Location, ResultFile
from servicex_layer.reading import open_bytes, select_columns
from servicex_layer.transport import ResultSource
from servicex_layer.transport._byte_source import ObjectBytes

# To explain a failure, Hypothesis traces all of Uproot and Awkward: that takes minutes.
often = settings(max_examples=25, deadline=None, phases=set(Phase) - {Phase.explain})


class Server:
    """Serves one file, which is fetched whole or in ranges."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.body = b""

    def read(
        self, path: Path, result_format: str, columns: frozenset[str] | None = None
    ) -> tuple[RecordForm, ak.Array]:
        """Return the form of a file, and some of its columns."""
        self.body = path.read_bytes()
        file = ResultFile(1, datetime.now(UTC), "a", "a", 1, len(self.body), result_format)
        location = Location(self.url)
        source = ResultSource(file, lambda _: location, "Result 'a' of request R")
        # Small ends and reads: the files are small, too.
        body = ObjectBytes(source, location, end_size=64, read_ahead=64)
        with open_bytes(body, result_format, None, source.description) as table:
            form = table.form()
            selected = select_columns(form, columns, nested=table.nested)
            arrays = table.read(selected)
            contents = [arrays[name] for name in selected.fields]
            record = ak.contents.RecordArray(contents, selected.fields, length=table.entries)
        return form, ak.Array(record)


@pytest.fixture(scope="module", params=["whole", "ranges"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            body = files.body
            match = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
            if match:
                start, stop = int(match[1]), min(int(match[2]) + 1, len(body))
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(body)}")
                body = body[start:stop]
            else:
                self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    class HTTPServer(ThreadingHTTPServer):
        block_on_close = False
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            """Ignore clients that went away."""

    http_server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=http_server.serve_forever, args=(0.01,))
    thread.start()
    files = Server(f"http://127.0.0.1:{http_server.server_address[1]}/a")
    threshold = "1GB" if request.param == "whole" else 0
    with dask.config.set({"servicex-layer.range-threshold": threshold}):
        yield files
    http_server.shutdown()
    thread.join()
    http_server.server_close()


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("types") / "a"


def assert_same(array: ak.Array, expected: ak.Array) -> None:
    assert array.type == expected.type
    assert ak.array_equal(array, expected, equal_nan=True)


# Columns


def leaves(form: Any, path: str) -> Iterator[str]:
    """Yield the names of a column and its fields, with dots."""
    yield path
    while not form.is_record and not form.is_numpy:
        form = form.content
    if form.is_record:
        for name in form.fields:
            yield from leaves(form.content(name), f"{path}.{name}")


def project(array: ak.Array, columns: frozenset[str]) -> ak.Array:
    """Select columns of an array."""

    def take(layout: Any, prefix: str) -> Any:
        if not layout.is_record:
            return layout.copy(content=take(layout.content, prefix))
        contents = {}
        for name in layout.fields:
            path, content = f"{prefix}{name}", layout.content(name)
            if path in columns:
                contents[name] = content
            elif content.fields and any(column.startswith(f"{path}.") for column in columns):
                inner = take(content, f"{path}.")
                if inner.fields:
                    contents[name] = inner
        return ak.contents.RecordArray(list(contents.values()), list(contents), length=len(layout))

    return ak.Array(take(array.layout, ""))


def choose(data: st.DataObject, form: RecordForm, *, nested: bool) -> frozenset[str]:
    names = [
        path
        for name in form.fields
        for path in (leaves(form.content(name), name) if nested else [name])
    ]
    return frozenset(data.draw(st.lists(st.sampled_from(names), unique=True)))


# Formats


@often
@given(st.data())
def test_ttree_of_any_type(server: Server, path: Path, data: st.DataObject):
    length = data.draw(st.integers(1, 20))
    names = data.draw(st.lists(st.sampled_from(BRANCH_NAMES), min_size=1, max_size=5, unique=True))
    written = {name: data.draw(in_ttree(length)) for name in names}
    with uproot.recreate(path) as file:
        file.mktree("events", written)
    with uproot.open(path) as file:
        tree = file["events"]
        expected = {name: tree[name].array() for name in tree.keys()}  # noqa: SIM118
    form, everything = server.read(path, "root-file")
    assert form.fields == everything.fields == list(expected)
    columns = choose(data, form, nested=False)
    _, some = server.read(path, "root-file", columns)
    assert some.fields == [name for name in form.fields if name in columns]
    assert len(some) == length
    for array in (everything, some):
        for name in array.fields:
            assert_same(array[name], expected[name])


@often
@given(st.data())
def test_rntuple_of_any_type(server: Server, path: Path, data: st.DataObject):
    length = data.draw(st.integers(1, 20))
    names = data.draw(st.lists(st.sampled_from(["x", "Jet", "n"]), min_size=1, unique=True))
    written = ak.Array({name: data.draw(anything(length)) for name in names})
    with uproot.recreate(path) as file:
        file.mkrntuple("events", written)
    with uproot.open(path) as file:
        expected = file["events"].arrays()
    form, everything = server.read(path, "root-rntuple")
    assert_same(everything, expected)
    columns = choose(data, form, nested=True)
    _, some = server.read(path, "root-rntuple", columns)
    assert len(some) == length
    assert_same(some, project(expected, columns))


@often
@given(st.data())
def test_parquet_of_any_type(server: Server, path: Path, data: st.DataObject):
    length = data.draw(st.integers(1, 20))
    pool = ["x", "Jet", "Jet_x.y", "a b", "list", "item", "element"]
    names = data.draw(st.lists(st.sampled_from(pool), min_size=1, unique=True))
    written = ak.Array({name: data.draw(anything(length, null=True)) for name in names})
    options = {
        name: data.draw(st.booleans()) for name in ("list_to32", "string_to32", "extensionarray")
    }
    compliant = data.draw(st.booleans())
    pq.write_table(
        ak.to_arrow_table(written, **options),
        path,
        row_group_size=data.draw(st.integers(3, 30)),
        use_compliant_nested_type=compliant,
    )
    expected = ak.from_arrow(pq.read_table(path))
    form, everything = server.read(path, "parquet")
    assert_same(everything, expected)
    columns = choose(data, form, nested=True)
    _, some = server.read(path, "parquet", columns)
    assert len(some) == length
    assert_same(some, project(expected, columns))


# Real files


@pytest.mark.parametrize(
    ("name", "result_format"),
    [
        ("uproot-HZZ.root", "root-file"),
        ("uproot-Zmumu.root", "root-file"),
        ("0fc6e51a5ea6dea107c195591d20a1b2-15.26710677._000019.pool.root.1", "root-file"),
        ("Run2012BC_DoubleMuParked_Muons_1000evts_rntuple_v1-0-0-0.root", "root-rntuple"),
    ],
)
def test_real_files(server: Server, data: Path, name: str, result_format: str):
    path = data / name
    with uproot.open({path: None}) as file:
        (tree,) = (key for key, classname in file.classnames().items() if "T" in classname)
        expected = file[tree].arrays()
    form, everything = server.read(path, result_format)
    assert everything.fields == form.fields == expected.fields
    for field in form.fields:
        assert_same(everything[field], expected[field])
        _, column = server.read(path, result_format, frozenset({field}))
        assert column.fields == [field]
        assert_same(column[field], expected[field])
