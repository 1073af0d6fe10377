from __future__ import annotations

import copy
import re
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import awkward as ak
import func_adl
import pytest
import qastle
import uproot
from func_adl_servicex_xaodr22 import (  # type: ignore[import-untyped]
    FuncADLQueryPHYS,
    cpp_float,
    cpp_vfloat,
)
from func_adl_xAOD.atlas.xaod.executor import (  # type: ignore[import-untyped]
    atlas_xaod_executor,
)
from hypothesis import Phase, given, reject, settings
from hypothesis import strategies as st
from optional_dask_awkward import HAS_DASK_AWKWARD  # type: ignore[import-not-found]
from servicex import query as servicex_query

from servicex_layer import from_servicex
from servicex_layer._model import Location, ResultFile
from servicex_layer.errors import FormError, MissingExtraError
from servicex_layer.forms import from_func_adl
from servicex_layer.local import LocalServiceX
from servicex_layer.reading import read
from servicex_layer.transport import ResultSource

if HAS_DASK_AWKWARD:
    # It depends on dask-awkward.
    from func_adl_uproot import (  # type: ignore[import-untyped]
        UprootDataset,
        generate_function,
    )


# func_adl_uproot uses of `ast` what Python will drop.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

JETS = "AnalysisJets"
PHYS = FuncADLQueryPHYS()


def both(query: Any) -> list[Any]:
    """Return a query as an object and as the text that ServiceX gets."""
    return [query, qastle.python_ast_to_text_ast(query.query_ast)]


# Typed queries, for which ServiceX generates C++


def generated(query: Any, directory: Path) -> str:
    """Return the types of the branches that the code generator of ServiceX declares."""
    executor = atlas_xaod_executor()
    tree = executor.apply_ast_transformations(copy.deepcopy(query.query_ast))
    executor.write_cpp_files(tree, directory)
    branches = re.findall(r'Branch\("(\w+)", &(\w+)\)', (directory / "query.cxx").read_text())
    header = (directory / "query.h").read_text()
    names = {"double": "float64", "float": "float32", "int": "int32", "bool": "bool"}
    names |= {"unsigned int": "uint32", "unsigned long long": "uint64", "uint8_t": "uint8"}
    columns = []
    for name, variable in branches:
        (kind,) = re.findall(rf"^\s*(.*) {variable};$", header, re.MULTILINE)
        depth = kind.count("vector<")
        inner = kind.replace("std::vector<", "").rstrip("> ")
        columns.append(f"{name}: {'var * ' * depth}{names[inner]}")
    return f"{{{', '.join(columns)}}}"


QUERIES = {
    "single": PHYS.Select(lambda e: e.Jets("AnalysisJets").Select(lambda j: j.pt() / 1000)),
    "dictionary": PHYS.Select(
        lambda ev: {
            "pt": ev.Jets(JETS).Select(lambda j: j.pt() / 1000),
            "m": ev.Jets(JETS).Where(lambda j: j.eta() < 2).Select(lambda j: j.p4().M()),
            "n": ev.Jets(JETS).Count(),
            "twice": ev.Jets(JETS).Count() * 2,
            "run": ev.EventInfo("EventInfo").runNumber(),
            "event": ev.EventInfo("EventInfo").eventNumber(),
            "mu": ev.EventInfo("EventInfo").averageInteractionsPerCrossing(),
        }
    ),
    "tuple": PHYS.Select(
        lambda evt: (evt.Jets(JETS).Select(lambda j: j.eta()), evt.Jets(JETS).Count())
    ),
    "flattened": PHYS.SelectMany(lambda e1: e1.Jets(JETS)).Select(lambda j: j.pt()),
    "flattened dictionary": PHYS.SelectMany(
        lambda e2: e2.Jets(JETS).Where(lambda j: j.pt() > 30_000)
    ).Select(lambda jet: {"pt": jet.pt(), "w": jet.getAttribute[cpp_float]("w")}),
    "in steps": PHYS.Select(
        lambda e3: {"jets": e3.Jets(JETS), "info": e3.EventInfo("EventInfo")}
    ).Select(
        lambda row: {
            "pt": row.jets.Select(lambda j: j.pt()),
            "event": row.jets.Select(lambda _: row.info.eventNumber()),
            "differences": row.jets.Select(lambda j: row.jets.Select(lambda k: k.pt() - j.pt())),
        }
    ),
    "summaries": PHYS.Select(
        lambda e4: {
            "total": e4.Electrons().Select(lambda el: el.pt()).Sum(),
            "highest": e4.Electrons().Select(lambda el: el.pt()).Max(),
            "first": e4.Electrons().First().eta(),
            "charge": e4.Electrons().Select(lambda el: el.charge()),
        }
    ),
    "expressions": PHYS.Select(
        lambda e5: {
            "larger": e5.Jets(JETS).Select(lambda j: j.pt() > 5),
            "either": e5.Jets(JETS).Select(lambda j: j.pt() if j.eta() > 1 else 0.0),
            "one": e5.Jets(JETS).Select(lambda _: 1),
            "minus": e5.Jets(JETS).Select(lambda j: -j.m()),
            "power": e5.Jets(JETS).Select(lambda j: j.pt() ** 2),
            "abs": e5.Jets(JETS).Select(lambda j: abs(j.phi())),
            "narrow": e5.Jets(JETS).Select(lambda j: j.pt() > 5 and j.eta() < 1),
        }
    ),
    "named": PHYS.Select(lambda e6: e6.Jets(JETS).Select(lambda j: j.pt())).AsROOTTTree(
        "result.root", "jets", ["JetPt"]
    ),
    "named tuple": PHYS.Select(
        lambda e7: (e7.Jets(JETS).Select(lambda j: j.pt()), e7.Jets(JETS).Count())
    ).AsROOTTTree("result.root", "jets", ["JetPt", "NJet"]),
}


@pytest.mark.parametrize("name", QUERIES)
def test_types_are_those_of_the_generated_code(name: str, tmp_path: Path):
    expected = generated(QUERIES[name], tmp_path)
    for query in both(QUERIES[name]):
        assert str(from_func_adl(query).type) == expected


OPERATORS = st.sampled_from(["+", "-", "*", "/", "**", ">", "<="])
PER_JET = st.recursive(
    st.sampled_from(["{}.pt()", "{}.eta()", "1", "2.5"]),
    lambda inner: (
        st.builds("({} {} {})".format, inner, OPERATORS, inner)
        | st.builds("({} if {} > 1 else {})".format, inner, inner, inner)
        | inner.map("(-{})".format)
    ),
    max_leaves=4,
)
COLLECTIONS = st.sampled_from(["e.Jets('J')", "e.Jets('J').Where(lambda w: w.pt() > 5)"])
ENDS = st.sampled_from(["", ".Sum()", ".Max()", ".Min()", ".Count()", ".First()"])
COLUMNS = st.builds(
    lambda jets, number, end: f"{jets}.Select(lambda j: {number.replace('{}', 'j')}){end}",
    COLLECTIONS,
    PER_JET,
    ENDS,
)


@settings(max_examples=25, deadline=None, phases=set(Phase) - {Phase.explain})
@given(st.lists(COLUMNS, min_size=1, max_size=3))
def test_types_of_any_expression(tmp_path_factory: pytest.TempPathFactory, columns: list[str]):
    pairs = ", ".join(f"'c{number}': {column}" for number, column in enumerate(columns))
    try:
        query = PHYS.Select(f"lambda e: {{{pairs}}}")
        expected = generated(query, tmp_path_factory.mktemp("generated"))
    except (AssertionError, TypeError, ValueError):
        reject()  # func_adl or the code generator rejects it, too.
    assert str(from_func_adl(query).type) == expected


def test_types_need_no_file_and_no_server():
    assert str(from_func_adl(QUERIES["single"]).type) == "{col1: var * float64}"


def test_attributes_that_are_vectors():
    query = PHYS.SelectMany(lambda e: e.Jets(JETS)).Select(
        lambda j: {"hits": j.getAttribute[cpp_vfloat]("hits"), "pt": j.pt()}
    )
    for spelling in both(query):
        assert str(from_func_adl(spelling).type) == "{hits: var * float32, pt: float64}"


def test_type_that_no_tree_holds_must_be_added():
    query = PHYS.Select(
        lambda e: {
            "kind": e.Muons().Select(lambda m: m.muonType()),
            "pt": e.Muons().Select(lambda m: m.pt()),
        }
    )
    with pytest.raises(FormError, match=r"these columns: kind \(var \* \?\)\."):
        from_func_adl(query)
    form = from_func_adl(query, {"kind": "var * int32"})
    assert str(form.type) == "{kind: var * int32, pt: var * float64}"


# Queries without types, for Uproot


@pytest.mark.dask_awkward
@pytest.mark.parametrize(
    ("query", "untyped"),
    [
        ("e: {'x': e.x, 'v': e['v'], 'n': e.v.Count()}", {"x": "?", "v": "?"}),
        ("e: {'v': e.v.Select(lambda p: p / 1000), 'c': e.n > 2}", {"v": "var * ?", "c": "?"}),
        ("e: {'v': e.v.Where(lambda p: p > 1)}", {"v": "var * ?"}),
        ("e: {'z': Zip({'a': e.v, 'b': e.v})}", {"z": "var * {a: ?, b: ?}"}),
        ("e: {'any': e.v.Any(lambda p: p > 1), 'n': e.v.Count()}", {}),
        ("e: (e.x, e.v)", {"0": "?", "1": "?"}),
    ],
)
def test_types_of_uproot_must_be_added(inputs: list[Path], query: str, untyped: dict[str, str]):
    uproot_query = UprootDataset(str(inputs[0]), "events").Select(f"lambda {query}")
    events = generate_function(uproot_query.query_ast)()
    types = {name: str(events[name].type.content) for name in untyped}
    for spelling in both(uproot_query):
        if untyped:
            with pytest.raises(FormError, match="does not define the types") as caught:
                from_func_adl(spelling)
            assert re.findall(r"(\w+) \((.*?)\)(?:, |\. )", str(caught.value)) == [*untyped.items()]
            example = re.search(r"form=\(query, (\{.*\})\)\.$", str(caught.value))
            assert example is not None
            assert eval(example[1]).keys() == untyped.keys()  # noqa: S307
        form = from_func_adl(spelling, types)
        assert form.fields == events.fields
        for name in form.fields:
            assert str(form.content(name).type) == str(events[name].type.content)


def test_queries_of_the_official_client():
    of_uproot = servicex_query.FuncADL_Uproot().FromTree("events")
    written = of_uproot.Select("lambda e: {'x': e['x'], 'n': e.v.Count()}")
    qastle_query = servicex_query.FuncADL_Uproot()
    qastle_query.set_provided_qastle(written.generate_selection_string())
    for query in (written, qastle_query):
        with pytest.raises(FormError, match=r"these columns: x \(\?\)\."):
            from_func_adl(query)
        assert str(from_func_adl(query, {"x": "float64"}).type) == "{x: float64, n: int64}"
    untyped = servicex_query.FuncADL_ATLASr22().Select(
        "lambda e: {'pt': e.Jets('J').Select(lambda j: j.pt() / 1000), 'n': e.Jets('J').Count(),"
        " 'eta': e.Jets('J').Select(lambda j: j.eta())}"
    )
    with pytest.raises(FormError, match=r"these columns: eta \(var \* \?\)\."):
        from_func_adl(untyped)
    form = from_func_adl(untyped, {"eta": "var * float32"})
    assert str(form.type) == "{pt: var * float64, n: int32, eta: var * float32}"


@pytest.mark.dask_awkward
def test_flattened_query_of_uproot(inputs: list[Path]):
    query = (
        UprootDataset(str(inputs[0]), "events")
        .SelectMany("lambda e: e.v")
        .Select("lambda p: {'p': p * 2}")
    )
    with pytest.raises(FormError, match=r"these columns: p \(\?\)\."):
        from_func_adl(query)
    events = generate_function(query.query_ast)()
    assert str(from_func_adl(query, {"p": "float64"}).type) == str(events.type.content)


@pytest.mark.dask_awkward
def test_uproot_has_no_name_for_a_single_column(inputs: list[Path]):
    query = UprootDataset(str(inputs[0]), "events").Select("lambda e: e.x")
    with pytest.raises(FormError, match="End the query with a dictionary"):
        from_func_adl(query)


# Types of Python's annotations


class Muon:
    def pt(self) -> float: ...  # type: ignore[empty-body]

    def charge(self) -> int: ...  # type: ignore[empty-body]


class Event:
    def muons(self) -> Iterable[Muon]: ...  # type: ignore[empty-body]

    def met(self) -> float: ...  # type: ignore[empty-body]

    def good(self) -> bool: ...  # type: ignore[empty-body]


class Dataset(func_adl.EventDataset[Event]):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__(item_type=Event)

    async def execute_result_async(self, *_: Any) -> Any: ...


def test_types_of_annotations():
    query = Dataset().Select(
        lambda e: {
            "pt": e.muons().Select(lambda m: m.pt()),
            "charge": e.muons().Select(lambda m: m.charge()),
            "met": e.met(),
            "good": e.good(),
        }
    )
    expected = "{pt: var * float64, charge: var * int64, met: float64, good: bool}"
    assert str(from_func_adl(query).type) == expected
    with pytest.raises(FormError, match=r"pt \(var \* \?\), charge \(var \* \?\), met \(\?\)"):
        from_func_adl(both(query)[1])
    single = Dataset().Select(lambda e: e.muons().Select(lambda m: m.charge()))
    assert str(from_func_adl(single).type) == "{col1: var * int64}"


# Real files


@pytest.mark.dask_awkward
def test_form_of_a_real_result_of_cpp(data: Path, finished: Callable[..., str]):
    """The result of a query like this one."""
    path = data / "0fc6e51a5ea6dea107c195591d20a1b2-15.26710677._000019.pool.root.1"
    form = QUERIES["named"]
    events = from_servicex(finished([path], "treeme"), form=form)
    assert str(events._meta.type) == "## * {JetPt: var * float64}"
    computed = events.compute()
    assert str(computed.type) == "50000 * {JetPt: var * float64}"
    assert ak.count(computed.JetPt) == 135_013


@pytest.mark.dask_awkward
def test_form_of_a_real_file_read_by_uproot(data: Path, tmp_path: Path):
    query = UprootDataset(str(data / "uproot-HZZ.root"), "events").Select(
        "lambda e: {'met': e.MET_px, 'px': e.Jet_Px.Select(lambda p: p * 2), 'n': e.Jet_Px.Count()}"
    )
    with uproot.recreate(tmp_path / "result.root") as file:
        expected = generate_function(query.query_ast)()
        file.mktree("servicex", {name: expected[name] for name in expected.fields})
    form = from_func_adl(query, {"met": "float32", "px": "var * float32"})
    result = ResultFile(1, datetime.now(UTC), "a", "a", 1, 0)
    source = ResultSource(result, lambda _: Location("", path=str(tmp_path / "result.root")), "a")
    events = ak.Array(read(source, form, None, None))
    assert str(events.type) == f"2421 * {form.type}"
    assert ak.array_equal(events.px, expected.px)


# The form of a request


@pytest.mark.dask_awkward
def test_form_of_a_running_request(
    service: LocalServiceX, submit: Callable[..., str], inputs: list[Path]
):
    request_id = submit(inputs)
    service.traffic.reset()
    for form in both(QUERIES["single"]):
        events = from_servicex(request_id, form=form)
        assert str(events._meta.type) == "## * {col1: var * float64}"
    types = {"col1": "var * float32"}
    events = from_servicex(request_id, form=(QUERIES["single"], types))
    assert str(events._meta.type) == "## * {col1: var * float32}"
    assert service.traffic.calls.keys() <= {"status", "token"}


@pytest.mark.dask_awkward
def test_added_types_are_those_of_the_results(finished: Callable[..., str], inputs: list[Path]):
    query = UprootDataset(str(inputs[0]), "events").Select("lambda e: {'x': e.x, 'v': e.v}")
    types = {"x": "float64", "v": "var * float64"}
    events = from_servicex(finished(inputs), form=(query, types))
    assert ak.sum(events.v).compute() == 9 * sum(0.5 + index for index in range(4))


# Invalid queries


@pytest.mark.parametrize(
    ("query", "types", "words"),
    [
        ("(call Select", None, "not valid qastle"),
        ("(nope 1 2)", None, "not valid qastle: Unknown composite node type: nope"),
        ("pt", None, "not a func_adl query"),
        (5, None, "not a func_adl query"),
        (QUERIES["single"], {"pt": "float64"}, "has no column 'pt'; it has col1"),
        (QUERIES["single"], {"col1": "float64"}, r"Use 'var \* float64'"),
        (
            QUERIES["single"],
            {"col1": "quux"},
            "'quux' of the column 'col1' is not a valid datashape",
        ),
        (
            "(call Select (call EventDataset) (lambda (list e) (dict (list e) (list 1))))",
            None,
            "un",
        ),
    ],
)
def test_invalid_query_is_an_error(query: Any, types: Any, words: str):
    with pytest.raises(FormError, match=words):
        from_func_adl(query, types)


def test_text_needs_the_extra(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "qastle", None)
    assert from_func_adl(QUERIES["single"]).fields == ["col1"]
    with pytest.raises(MissingExtraError, match=r"servicex_layer\[func-adl\]"):
        from_func_adl("(call Select (call EventDataset) (lambda (list e) (attr e 'x')))")
