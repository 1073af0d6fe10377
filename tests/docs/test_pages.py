"""Run every block of Python in the documentation, and every call of the program.

The blocks of a page run in order, in one namespace, in a directory with a few ROOT files. A
ServiceX has a request for these files, except for pages that begin without one.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot
from click.testing import CliRunner
from distributed import LocalCluster
from servicex import dataset
from sybil import Example, Sybil
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser, SkipParser

import servicex_layer as sxl
from servicex_layer.cli._main import main
from servicex_layer.local import LocalServiceX

pytestmark = pytest.mark.dask_awkward

ROOT = Path(__file__).parents[2]


REQUEST = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def call_program(example: Example) -> str | None:
    """Call the program and compare its output, except for names and numbers, with the page."""
    request_id = example.namespace["request_id"]
    for call in ("\n" + example.parsed).split("\n$ ")[1:]:
        line, _, expected = call.partition("\n")
        program, *arguments = shlex.split(REQUEST.sub(request_id, line))
        assert program == "servicex-layer"
        result = CliRunner().invoke(main, arguments)
        if result.exit_code or shape(result.output) != shape(expected):
            return f"{line} prints\n{result.output}"
    return None


def shape(text: str) -> list[str]:
    """Replace what differs between runs: ids, URLs, directories, numbers."""
    for varying in (REQUEST, r"https?://\S+", r"/\S*/", r"\d[\d,:-]*"):
        text = re.sub(varying, "#", text)
    return text.split()


SYBIL = Sybil(
    parsers=[
        SkipParser(),
        PythonCodeBlockParser(doctest_optionflags=0),
        CodeBlockParser(language="console", evaluator=call_program),
    ]
)

# These start a ServiceX of their own; only then do they go on with a request of yours.
SELF_CONTAINED = {"README", "first-steps", "index"}

PAGES = [
    page
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
    if [*SYBIL.parse(page).examples()]
]


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("docs")
    inputs, results = ("treeme", "events", "nominal"), ("treeme",)
    made = {
        "jets-0.root": inputs,
        "jets-1.root": inputs,
        "input.root": inputs,
        "result.root": results,
        "sample.root": results,
    }
    for seed, (name, trees) in enumerate(made.items()):
        generator = np.random.default_rng(seed)
        counts = generator.poisson(2.7, 100)
        pt, eta = generator.exponential(60, sum(counts)), generator.normal(0, 1.5, sum(counts))
        types = {"JetPt": "var * float64", "JetEta": "var * float64", "met": "float32"}
        columns = {
            "JetPt": ak.unflatten(pt, counts),
            "JetEta": ak.unflatten(eta, counts),
            "met": generator.exponential(30, 100).astype(np.float32),
        }
        if name == "result.root":
            del types["JetEta"], columns["JetEta"]
        with uproot.recreate(directory / name) as file:
            for tree in trees:
                file.mktree(tree, types).extend(columns)
    return directory


@pytest.fixture
def files(written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    monkeypatch.chdir(tmp_path)
    for path in written.iterdir():
        (tmp_path / path.name).symlink_to(path)
    return [tmp_path / "jets-0.root", tmp_path / "jets-1.root"]


@pytest.fixture
def namespace(
    files: list[Path],
    shared_service: LocalServiceX,
    use_service: Callable[[LocalServiceX], None],
    monkeypatch: pytest.MonkeyPatch,
    until: Callable[[Callable[[], object]], None],
    page: Path,
) -> Iterator[Any]:
    # clusters of threads start quickly, and many fit on one machine
    quick = partial(LocalCluster, processes=False, dashboard_address=":0")
    monkeypatch.setattr("distributed.LocalCluster", quick)
    monkeypatch.setattr("dask.distributed.LocalCluster", quick)
    # no Rucio is reachable
    monkeypatch.setattr(
        "servicex.dataset.Rucio", lambda did: dataset.FileList([str(files["ttbar" in did])])
    )
    with ExitStack() as stack:
        # the official client downloads from an S3 store only
        own = LocalServiceX(store="s3") if page.stem == "moving" else None
        service = shared_service if own is None else stack.enter_context(own)

        def submit_your_request() -> str:
            use_service(service)
            request_id = service.submit(files, tree="treeme")
            until(lambda: sxl.status(request_id).is_terminal)
            return request_id

        if page.stem in SELF_CONTAINED:
            yield {"submit_your_request": submit_your_request}
            return
        request_id = submit_your_request()
        columns = "{JetPt: var * float64, JetEta: var * float64, met: float32}"
        yield {
            "service": service,
            "SERVICEX_YAML": service.servicex_yaml,
            "FILES": files,
            "request_id": request_id,
            "npartitions": 2,
            "form": columns,
            "events": sxl.from_servicex(request_id, form=columns),
            "sxl": sxl,
            "ak": ak,
            "np": np,
        }


# the official client leaves its cache open
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_block_runs(page: Path, namespace: dict[str, Any]):
    document = SYBIL.parse(page)
    document.namespace.update(namespace)
    for example in document.examples():
        example.evaluate()


@pytest.mark.parametrize("page", ["README.md", "docs/index.md"])
def test_the_first_example_runs_as_a_script(page: str, tmp_path: Path):
    example = next(iter(SYBIL.parse(ROOT / page).examples()))
    script = tmp_path / "example.py"
    script.write_text(example.parsed)
    run = subprocess.run(  # noqa: S603  (our own page)
        [sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert run.stdout.strip() == "[150, 120]", run.stderr


def test_the_landing_page_and_the_readme_have_the_same_example():
    readme, index = (SYBIL.parse(ROOT / page) for page in ("README.md", "docs/index.md"))
    assert next(iter(readme.examples())).parsed == next(iter(index.examples())).parsed


def test_the_api_pages_have_every_public_name():
    pages = "".join(path.read_text() for path in (ROOT / "docs" / "api").glob("*.md"))
    names = set(sxl.__all__) - {"__version__"}
    assert {name for name in names if not re.search(rf"servicex_layer\.{name}\b", pages)} == set()
