"""Columns of every type and format, as Uproot and pyarrow read them where the file is."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import awkward as ak
import dask.config
import hypothesis.strategies as st
import numpy as np
import pyarrow.parquet as pq
import pytest
import uproot
from awkward.forms import RecordForm
from hypothesis import Phase, given, settings
from strategies import BRANCH_NAMES, anything, in_ttree  # type: ignore[import-not-found]

from servicex_layer._model import Location, ResultFile
from servicex_layer.errors import TreeNotFoundError
from servicex_layer.forms import as_form
from servicex_layer.reading._read import read, read_form
from servicex_layer.transport import _byte_source as transfer
from servicex_layer.transport._result import ResultSource

# To explain a failure, Hypothesis traces all of Uproot and Awkward: that takes minutes.
often = settings(max_examples=25, deadline=None, phases=set(Phase) - {Phase.explain})
WHAT = "Result 'a' of request R"

Read = Callable[..., ak.Array]


class Way:
    """A file is read from where it is, whole over HTTP, or by ranges over HTTP."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.body = b""

    def read(
        self, path: Path, kind: str, columns: frozenset[str] | None = None, events: int = 1
    ) -> tuple[RecordForm, ak.Array]:
        self.body = path.read_bytes()
        file = ResultFile(1, datetime.now(UTC), "a", "a", events, len(self.body), kind)

        def locate(_: str | None) -> Location:
            return Location(self.url)

        form = read_form(ResultSource(file, locate, WHAT), None)
        return form, ak.Array(read(ResultSource(file, locate, WHAT), form, columns, None))


@pytest.fixture(scope="module", params=["whole", "ranges"])
def way(request: pytest.FixtureRequest) -> Iterator[Way]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            body = chosen.body
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

    class Server(ThreadingHTTPServer):
        block_on_close = False
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            """Say nothing of clients that went away."""

    server = Server(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    chosen = Way(f"http://127.0.0.1:{server.server_address[1]}/a")
    with pytest.MonkeyPatch.context() as patch:
        # Files are small here.
        for name in ("_HEAD", "_TAIL", "_AHEAD"):
            patch.setattr(transfer, name, 64)
        threshold = "1GB" if request.param == "whole" else 0
        with dask.config.set({"servicex-layer.range-threshold": threshold}):
            yield chosen
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("types") / "a"


def assert_same(found: ak.Array, expected: ak.Array) -> None:
    assert found.type == expected.type
    assert ak.array_equal(found, expected, equal_nan=True)


# Columns


def leaves(form: Any, path: str) -> Iterator[str]:
    """Name what may be chosen, fields of records with dots."""
    yield path
    while not form.is_record and not form.is_numpy:
        form = form.content
    if form.is_record:
        for name in form.fields:
            yield from leaves(form.content(name), f"{path}.{name}")


def project(array: ak.Array, columns: frozenset[str]) -> ak.Array:
    """Take columns of an array that is there as a whole."""

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
def test_ttree(way: Way, path: Path, data: st.DataObject):
    length = data.draw(st.integers(1, 20))
    names = data.draw(st.lists(st.sampled_from(BRANCH_NAMES), min_size=1, max_size=5, unique=True))
    written = {name: data.draw(in_ttree(length)) for name in names}
    with uproot.recreate(path) as file:
        file.mktree("events", written)
    with uproot.open(path) as file:
        tree = file["events"]
        expected = {name: tree[name].array() for name in tree.keys()}  # noqa: SIM118
    form, everything = way.read(path, "root-file")
    assert form.fields == everything.fields == list(expected)
    columns = choose(data, form, nested=False)
    _, some = way.read(path, "root-file", columns)
    assert some.fields == [name for name in form.fields if name in columns]
    assert len(some) == length
    for found in (everything, some):
        for name in found.fields:
            assert_same(found[name], expected[name])


@often
@given(st.data())
def test_rntuple(way: Way, path: Path, data: st.DataObject):
    length = data.draw(st.integers(1, 20))
    names = data.draw(st.lists(st.sampled_from(["x", "Jet", "n"]), min_size=1, unique=True))
    written = ak.Array({name: data.draw(anything(length)) for name in names})
    with uproot.recreate(path) as file:
        file.mkrntuple("events", written)
    with uproot.open(path) as file:
        expected = file["events"].arrays()
    form, everything = way.read(path, "root-rntuple")
    assert_same(everything, expected)
    columns = choose(data, form, nested=True)
    _, some = way.read(path, "root-rntuple", columns)
    assert len(some) == length
    assert_same(some, project(expected, columns))


@often
@given(st.data())
def test_parquet(way: Way, path: Path, data: st.DataObject):
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
    form, everything = way.read(path, "parquet")
    assert_same(everything, expected)
    columns = choose(data, form, nested=True)
    _, some = way.read(path, "parquet", columns)
    assert len(some) == length
    assert_same(some, project(expected, columns))


# Real files


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("uproot-HZZ.root", "root-file"),
        ("uproot-Zmumu.root", "root-file"),
        ("0fc6e51a5ea6dea107c195591d20a1b2-15.26710677._000019.pool.root.1", "root-file"),
        ("Run2012BC_DoubleMuParked_Muons_1000evts_rntuple_v1-0-0-0.root", "root-rntuple"),
    ],
)
def test_real_files(way: Way, data: Path, name: str, kind: str):
    path = data / name
    with uproot.open({path: None}) as file:
        (tree,) = (key for key, what in file.classnames().items() if "T" in what)
        expected = file[tree].arrays()
    form, everything = way.read(path, kind)
    assert everything.fields == form.fields == expected.fields
    for field in form.fields:
        assert_same(everything[field], expected[field])
        _, one = way.read(path, kind, frozenset({field}))
        assert one.fields == [field]
        assert_same(one[field], expected[field])


# Nothing


@pytest.mark.parametrize("kind", ["root-file", "root-rntuple"])
@pytest.mark.parametrize("tree", [None, "events"])
def test_no_tree_is_no_events_or_an_error(path: Path, kind: str, tree: str | None):
    with uproot.recreate(path) as file:
        file["h"] = np.histogram([1.0])
    form = as_form("{x: float64, v: var * {pt: float32, eta: ?float32}, s: string}")

    def found(events: int, columns: frozenset[str] | None) -> ak.Array:
        file = ResultFile(1, datetime.now(UTC), "a", "a", events, 1, kind)
        location = Location("", path=str(path))
        return ak.Array(read(ResultSource(file, lambda _: location, WHAT), form, columns, tree))

    assert str(found(0, None).type) == f"0 * {form.type}"
    some = found(0, frozenset({"v.pt", "s"}))
    assert str(some.type) == "0 * {v: var * {pt: float32}, s: string}"
    assert found(0, frozenset()).fields == []
    with pytest.raises(TreeNotFoundError, match=WHAT):
        found(1, None)
