from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from wire_faults import ExtraKeys, WireFault, WireFaults  # type: ignore[import-not-found]

from servicex_layer.cli import main
from servicex_layer.local import Faults, LocalServiceX


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def test_status_shows_a_running_request(
    service: LocalServiceX, submit: Callable[..., str], inputs: list[Path]
):
    request_id = submit(inputs)
    service.release(request_id, 1)
    result = run("status", request_id)
    assert result.exit_code == 0
    assert dict(line.split(maxsplit=1) for line in result.output.splitlines()) == {
        "Request": request_id,
        "Backend": f"local, {service.url}",
        "Status": "Running",
        "Files": "4 looked up, 1 finished, 0 failed",
        "Format": "root-file",
        "Logs": f"{service.url}/logs/{request_id}",
    }
    state = json.loads(run("status", request_id, "--json", "--backend", "local").output)
    assert (state["status"], state["files"], state["completed"]) == ("Running", 4, 1)
    assert state["file_count_final"]
    assert not state["is_terminal"]


def test_watched_status_prints_each_change_until_the_request_ends(
    service: LocalServiceX,
    submit: Callable[..., str],
    inputs: list[Path],
    in_thread: Callable[[Callable[[], Result]], Callable[[], Result]],
):
    request_id = submit(inputs[:2])
    result = in_thread(lambda: run("status", request_id, "--watch", "--json"))
    for index in range(2):
        service.release(request_id, index)
    states = [json.loads(line) for line in result().output.splitlines()]
    assert states[-1]["status"] == "Complete"
    completed = [state["completed"] for state in states]
    assert completed == sorted(completed)
    assert all(state != following for state, following in pairwise(states))


def test_files_lists_finished_and_failed_files_by_time(
    use_service: Callable[[LocalServiceX], None], inputs: list[Path]
):
    with LocalServiceX(faults=Faults(failing={1})) as service:
        use_service(service)
        request_id = service.submit(inputs, tree="events", manual=True)
        for index in (2, 0, 1, 3):
            service.release(request_id, index)
        head, *lines, last, failure, logs = run("files", request_id).output.splitlines()
        rows: list[dict[str, Any]] = json.loads(run("files", request_id, "--json").output)
    assert head.split() == ["time", "(UTC)", "events", "bytes", "input"]
    assert [line.split()[2] for line in lines] == ["finished", "finished", "failed", "finished"]
    assert [line.split()[-1] for line in lines] == [str(inputs[index]) for index in (2, 0, 1, 3)]
    assert last == "Complete: 3 of 4 files finished, 1 failed"
    assert failure.startswith("Reason   ")
    assert logs.startswith("Logs     ")
    assert [row["success"] for row in rows] == [True, True, False, True]
    assert [row["events"] for row in rows] == [10, 10, 0, 10]
    assert rows[2]["name"] is None


@pytest.mark.parametrize("command", ["status", "files"])
def test_status_and_files_say_why_files_failed_and_where_the_logs_are(
    use_service: Callable[[LocalServiceX], None], inputs: list[Path], command: str
):
    reason = {"failure-info": "no branch JetPt", "log-url": "https://logs.example/17"}
    faults = WireFaults(WireFault(route="status", effect=ExtraKeys(reason)))
    with LocalServiceX(faults=Faults(failing={1}), middleware=faults.middleware) as service:
        use_service(service)
        request_id = service.submit(inputs[:2], tree="events")
        run(command, request_id, "--watch")
        text = run(command, request_id).output
        state = json.loads(run(command, request_id, "--json").output)
    assert "Reason   no branch JetPt\nLogs     https://logs.example/17\n" in text
    if command == "status":
        assert f"Failed   {inputs[1]}\n" in text
        assert state["failed_inputs"] == [str(inputs[1])]
    for row in [state] if command == "status" else [row for row in state if not row["success"]]:
        assert (row["failure_info"], row["log_url"]) == ("no branch JetPt", reason["log-url"])


@pytest.mark.parametrize("command", ["status", "files"])
def test_errors_are_printed_without_a_traceback(service: LocalServiceX, command: str):
    result = run(command, "7a0e5e0c-0000-0000-0000-000000000000")
    assert result.exit_code == 1
    assert result.output.startswith("Error: The ServiceX backend local at ")
    assert "no-backend" in run(command, "1", "--backend", "no-backend").output


def test_a_watched_status_lists_files_only_when_more_have_failed(
    use_service: Callable[[LocalServiceX], None], inputs: list[Path]
):
    with LocalServiceX(faults=Faults(failing={0}), parallelism=1, delay=0.3) as service:
        use_service(service)
        request_id = service.submit(inputs, tree="events")
        output = run("status", request_id, "--watch", "--json").output
        calls = service.traffic.calls
    states = [json.loads(line) for line in output.splitlines()]
    assert states[-1]["failed_inputs"] == [str(inputs[0])]
    assert calls["results"] < calls["status"]
