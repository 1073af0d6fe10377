from __future__ import annotations

from pathlib import Path

import dask
import pytest

from servicex_layer._config import find_backend, n_bytes, seconds
from servicex_layer.errors import ConfigError, UnknownBackendError

TWO = """
api_endpoints:
  - name: one
    endpoint: http://one.example/
  - name: two
    endpoint: https://two.example
    token: secret
"""


def only(name: str) -> str:
    return f"api_endpoints:\n  - name: {name}\n    endpoint: http://{name}.example\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a directory two levels below one with a home beside it."""
    home, here = tmp_path / "home", tmp_path / "project" / "analysis"
    home.mkdir()
    here.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))  # the one of Windows
    monkeypatch.chdir(here)
    return tmp_path


@pytest.mark.parametrize("directory", ["project/analysis", "project", ".", "home"])
@pytest.mark.parametrize("name", [".servicex", "servicex.yaml"])
def test_the_file_is_found_in_the_working_directory_its_parents_and_at_home(
    project: Path, directory: str, name: str
):
    (project / directory / name).write_text(only("far"))
    assert find_backend().name == "far"


def test_the_nearest_file_is_used(project: Path):
    places = [
        "project/analysis/.servicex",
        "project/analysis/servicex.yaml",
        "project/.servicex",
        "project/servicex.yaml",
        "servicex.yaml",
        "home/.servicex",
        "home/servicex.yaml",
    ]
    for number, place in enumerate(places):
        (project / place).write_text(only(f"number-{number}"))
    for number, place in enumerate(places):
        assert find_backend().name == f"number-{number}"
        (project / place).unlink()


def test_a_missing_file_is_an_error_that_lists_the_directories(project: Path):
    with pytest.raises(ConfigError) as caught:
        find_backend()
    for word in (".servicex", "servicex.yaml", str(project / "project/analysis"), "home"):
        assert word in str(caught.value)


def test_a_path_takes_precedence_over_the_search(project: Path):
    Path("servicex.yaml").write_text(only("here"))
    (project / "other.yaml").write_text(only("other"))
    (project / "home" / "tilde.yaml").write_text(only("tilde"))
    assert find_backend(config_path=project / "other.yaml").name == "other"
    with dask.config.set({"servicex-layer.config-path": "~/tilde.yaml"}):
        assert find_backend().name == "tilde"
        assert find_backend(config_path=project / "other.yaml").name == "other"


def test_a_path_that_does_not_exist_is_an_error(project: Path):
    Path("servicex.yaml").write_text(only("here"))
    with pytest.raises(ConfigError, match=r"missing\.yaml"):
        find_backend(config_path=project / "missing.yaml")


def test_the_default_is_the_default_endpoint_or_the_first(project: Path):
    Path("servicex.yaml").write_text(TWO)
    assert find_backend().name == "one"
    Path("servicex.yaml").write_text(TWO + "default_endpoint: two\n")
    assert find_backend().name == "two"
    assert find_backend("one").name == "one"


@pytest.mark.parametrize("url", ["https://two.example", "https://two.example/"])
def test_a_backend_is_found_by_its_url(project: Path, url: str):
    Path("servicex.yaml").write_text(TWO)
    assert find_backend(url).name == "two"


def test_the_first_of_several_backends_with_one_url_is_used(project: Path):
    again = "  - name: again\n    endpoint: http://one.example\n"
    Path("servicex.yaml").write_text(TWO + again)
    assert find_backend("http://one.example").name == "one"
    assert find_backend("again").url == "http://one.example"


def test_a_backend_has_url_and_token_and_hides_the_token(project: Path):
    Path("servicex.yaml").write_text(TWO)
    one, two = find_backend("one"), find_backend("two")
    assert (one.url, one.token) == ("http://one.example", None)
    assert (two.url, two.token) == ("https://two.example", "secret")
    assert "secret" not in f"{two} {two!r}"


@pytest.mark.parametrize(
    ("text", "name", "words"),
    [
        (TWO, "three", ["'three'", "one, two", "servicex.yaml"]),
        (TWO, "https://three.example", ["three.example", "one, two", "servicex.yaml"]),
        (TWO + "default_endpoint: four", None, ["default_endpoint", "'four'", "one, two"]),
        (TWO + "default_endpoint: [one]", None, ["default_endpoint", "one, two"]),
    ],
)
def test_an_unknown_backend_is_an_error_that_lists_the_backends(
    project: Path, text: str, name: str | None, words: list[str]
):
    Path("servicex.yaml").write_text(text)
    with pytest.raises(UnknownBackendError) as caught:
        find_backend(name)
    assert all(word in str(caught.value) for word in words)


def test_a_misspelt_backend_is_an_error_that_suggests_the_closest(project: Path):
    Path("servicex.yaml").write_text(TWO)
    with pytest.raises(UnknownBackendError, match="Did you mean 'two'"):
        find_backend("tow")
    with pytest.raises(UnknownBackendError) as caught:
        find_backend("https://else.example")
    assert "Did you mean" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "api_endpoints"),
        (b"just a text", "api_endpoints"),
        (b"api_endpoints: []", "api_endpoints"),
        (b"api_endpoints: secret", "no endpoint and no name"),
        (b"api_endpoints: [{name: one, token: secret}]", "no endpoint"),
        (b"api_endpoints: [{endpoint: 'http://one.example', token: secret}]", "no name"),
        (b"api_endpoints: [{name: one, endpoint: , token: secret}]", "no endpoint"),
        (b"api_endpoints: [{name: , endpoint: 'http://one.example'}]", "no name"),
        (b"api_endpoints:\n  - token: secret: [", r"not valid YAML \(line 2\)"),
        (b"api_endpoints: '\xff\xfe'", "not valid YAML"),
        (b"api_endpoints: [{name: one, endpoint: 'http://me:secret@one.example'}]", "password"),
        (b'api_endpoints: [{name: one, endpoint: e, token: "a secret\\nline"}]', "ASCII"),
    ],
)
def test_an_invalid_file_is_an_error_without_its_secrets(project: Path, text: bytes, words: str):
    Path("servicex.yaml").write_bytes(text)
    with pytest.raises(ConfigError, match=words) as caught:
        find_backend()
    assert str(Path("servicex.yaml").absolute()) in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "expected"), [("50ms", 0.05), ("2 minutes", 120.0), (3, 3.0), (0, 0.0), (None, None)]
)
def test_durations_are_read_in_seconds(value: object, expected: float | None):
    with dask.config.set({"servicex-layer.timeout": value}):
        assert seconds("timeout") == expected


@pytest.mark.parametrize("value", ["soon", -1, "-2s", [1], "nan", float("nan")])
def test_an_invalid_duration_is_an_error(value: object):
    with (
        dask.config.set({"servicex-layer.timeout": value}),
        pytest.raises(ConfigError, match=r"servicex-layer\.timeout"),
    ):
        seconds("timeout")


@pytest.mark.parametrize("value", ["large", "8 apples", [1], None])
def test_an_invalid_size_is_an_error(value: object):
    with (
        dask.config.set({"servicex-layer.range-threshold": value}),
        pytest.raises(ConfigError, match=r"servicex-layer\.range-threshold"),
    ):
        n_bytes("range-threshold")


@pytest.mark.parametrize(
    "name",
    [
        "poll-interval",
        "poll-interval-max",
        "overlap",
        "forget-after",
        "timeout",
        "connect-timeout",
        "read-timeout",
        "retry-timeout",
    ],
)
def test_every_setting_has_a_default(name: str):
    assert seconds(name)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_the_file_may_be_written_by_any_editor_of_windows(project: Path, encoding: str):
    Path("servicex.yaml").write_bytes(only("jürgen").replace("\n", "\r\n").encode(encoding))
    assert find_backend().name == "jürgen"


def test_a_path_with_a_drive_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch):
    path = r"C:\Users\new\servicex.yaml"
    monkeypatch.setenv("DASK_SERVICEX_LAYER__CONFIG_PATH", path)
    configured = dask.config.collect_env()["servicex_layer"]["config_path"]
    assert configured == path
