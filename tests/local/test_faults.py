"""Manual requests and faults decide which rows are visible when."""

from __future__ import annotations

import ssl
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import numpy as np
import pytest
import uproot
import yaml

from servicex_layer.errors import BackendUnreachableError, InvalidArgumentError
from servicex_layer.local import Faults, LocalServiceX

TRANSFORMATION = "/servicex/transformation"


class Observer:
    def __init__(self, url, request_id):
        self._url = f"{url}{TRANSFORMATION}/{request_id}"
        self._tls = ssl.create_default_context()  # a new one would cost each call 20 ms

    def _get(self, url):
        return httpx.get(url, trust_env=False, verify=self._tls)

    def status(self):
        return self._get(self._url).raise_for_status().json()

    def counts(self):
        status = self.status()
        return status["status"], status["files-completed"], status["files-failed"]

    def rows(self):
        answer = self._get(f"{self._url}/results").raise_for_status()
        return sorted(answer.json()["results"], key=lambda row: row["id"])

    def watch(self, until, seconds=30):
        """Return every status, each with the rows read right after it, until a condition holds."""
        deadline = time.monotonic() + seconds
        seen: list[tuple[dict[str, Any], list[dict[str, Any]]]] = []
        while not seen or not until(*seen[-1]):
            assert time.monotonic() < deadline, seen[-1:]
            seen.append((self.status(), self.rows()))
        return seen

    def watch_until_complete(self):
        return self.watch(lambda status, _: status["status"] == "Complete")


@pytest.fixture(scope="module")
def service():
    with LocalServiceX(parallelism=1) as service:
        yield service


@pytest.fixture
def manual(service, source):
    request_id = service.submit([source] * 4, tree="events", manual=True)
    observer = Observer(service.url, request_id)
    observer.watch(lambda status, _: status["status"] == "Running")
    return request_id, observer


# Manual requests


def test_rows_become_visible_when_they_are_released(service, manual):
    request_id, observer = manual
    assert observer.rows() == []
    service.release(request_id, 2)
    (row,) = observer.rows()
    assert row["transform_status"] == "success"
    assert observer.counts() == ("Running", 1, 0)
    service.release(request_id, 0, 3)
    assert len(observer.rows()) == 3
    assert observer.counts() == ("Running", 3, 0)
    service.release(request_id, 1)
    assert observer.counts() == ("Complete", 4, 0)
    ids = [row["id"] for row in observer.rows()]
    assert len(set(ids)) == 4


def test_rows_can_be_counted_later(service, manual):
    request_id, observer = manual
    service.release(request_id, 0, 1, counted=False)
    assert observer.counts() == ("Running", 0, 0)
    assert len(observer.rows()) == 2
    service.release(request_id, 2)
    assert observer.counts() == ("Running", 1, 0)
    service.release(request_id, 3, counted=False)
    assert observer.counts() == ("Running", 1, 0)
    service.count(request_id)
    assert observer.counts() == ("Complete", 4, 0)


def test_released_rows_can_have_any_time(service, manual):
    request_id, observer = manual
    noon = datetime(2026, 11, 22, 12, tzinfo=UTC)
    service.release(request_id, 0, 1, created_at=noon)
    service.release(request_id, 2, created_at=noon.replace(tzinfo=None) - timedelta(seconds=2))
    assert [row["created_at"] for row in observer.rows()] == [
        "2026-11-22T12:00:00",
        "2026-11-22T12:00:00",
        "2026-11-22T11:59:58",
    ]


def test_impossible_releases_are_rejected(service, manual, source):
    request_id, _ = manual
    service.release(request_id, 0)
    with pytest.raises(InvalidArgumentError, match="released already"):
        service.release(request_id, 0)
    for index in (4, -1):
        with pytest.raises(InvalidArgumentError, match=f"no input file {index}"):
            service.release(request_id, index)
    with pytest.raises(InvalidArgumentError, match="no request 'nope'"):
        service.release("nope", 0)
    automatic = service.submit([source], tree="events")
    for call in (service.release, service.count):
        with pytest.raises(InvalidArgumentError, match="manual=True"):
            call(automatic)
    service.release(request_id, 1, 2, 3)
    with pytest.raises(InvalidArgumentError, match="is Complete"):
        service.release(request_id, 0)


def test_a_manual_request_does_not_make_others_manual(service, manual, source):
    request_id = service.submit([source] * 4, tree="events")
    Observer(service.url, request_id).watch_until_complete()


def test_release_ends_when_the_server_stops(source):
    service = LocalServiceX(delay=600)
    service.start()
    request_id = service.submit([source], tree="events", manual=True)
    errors = []

    def release():
        with pytest.raises(BackendUnreachableError) as caught:
            service.release(request_id, 0)
        errors.append(caught.value)

    waiting = threading.Thread(target=release)
    waiting.start()
    service.stop()
    waiting.join(10)
    assert len(errors) == 1


# Faults


def test_failing_files_have_failure_rows(source):
    with LocalServiceX(parallelism=1, faults=Faults(failing={1, 3})) as service:
        request_id = service.submit([source] * 5, tree="events")
        observer = Observer(service.url, request_id)
        *_, (status, rows) = observer.watch_until_complete()
    assert (status["files-completed"], status["files-failed"]) == (3, 2)
    failures = [row for row in rows if row["transform_status"] == "failure"]
    assert [row["s3-object-name"] for row in failures] == ["none", "none"]


def test_ten_thousand_files_are_listed(source):
    with LocalServiceX(faults=Faults(failing=1.0)) as service:
        request_id = service.submit([source] * 10_000, tree="events")
        observer = Observer(service.url, request_id)
        while observer.counts() != ("Complete", 0, 10_000):
            time.sleep(0.05)
        service.traffic.reset()
        rows = observer.rows()
        newest = max(row["created_at"] for row in rows)
        answer = httpx.get(
            f"{service.url}{TRANSFORMATION}/{request_id}/results",
            params={"later_than": newest},
            trust_env=False,
        )
    assert len({row["id"] for row in rows}) == 10_000
    assert answer.json()["results"] == []
    assert service.traffic.rows == 10_000


def test_other_files_do_not_wait_for_one_that_never_ends(source):
    with LocalServiceX(parallelism=1, faults=Faults(never={0})) as service:
        request_id = service.submit([source] * 3, tree="events")
        observer = Observer(service.url, request_id)
        *_, (status, _) = observer.watch(lambda status, _: status["files-completed"] == 2)
        assert (status["status"], status["files-remaining"]) == ("Running", 1)
        manual = service.submit([source], tree="events", manual=True)
        with pytest.raises(InvalidArgumentError, match=r"Faults\.never"):
            service.release(manual, 0)


def test_times_follow_the_servers_clock_in_whole_seconds(source):
    faults = Faults(whole_seconds=True, clock_offset=-3600)
    with LocalServiceX(parallelism=1, faults=faults, authentication=True) as service:
        answer = httpx.get(f"{service.url}/servicex", trust_env=False)
        (endpoint,) = yaml.safe_load(service.servicex_yaml.read_text())["api_endpoints"]
        headers = {"Authorization": f"Bearer {endpoint['token']}"}
        token = httpx.post(f"{service.url}/token/refresh", headers=headers, trust_env=False).json()
        headers = {"Authorization": f"Bearer {token['access_token']}"}
        with httpx.Client(base_url=service.url, headers=headers, trust_env=False) as client:
            request_id = service.submit([source] * 3, tree="events")
            while (status := client.get(f"{TRANSFORMATION}/{request_id}").json())[
                "status"
            ] != "Complete":
                pass
            rows = client.get(f"{TRANSFORMATION}/{request_id}/results").json()["results"]
    hour_ago = datetime.now(UTC) - timedelta(hours=1)
    times = [datetime.fromisoformat(f"{row['created_at']}+00:00") for row in rows]
    assert all(time.microsecond == 0 for time in times)
    times += [datetime.fromisoformat(status[f"{name}-time"]) for name in ("submit", "finish")]
    times.append(parsedate_to_datetime(answer.headers["date"]))
    assert all(abs(time - hour_ago) < timedelta(minutes=1) for time in times)


def test_late_rows_appear_after_newer_ones(source):
    faults = Faults(late=0.5, late_by=1.0)
    with LocalServiceX(parallelism=1, faults=faults) as service:
        request_id = service.submit([source] * 12, tree="events")
        seen = Observer(service.url, request_id).watch_until_complete()
    known: list[str] = []
    overtaken = 0
    for status, rows in seen:
        times = {row["created_at"] for row in rows}
        assert len(rows) >= status["files-completed"]
        overtaken += sum(time < max(known, default="") for time in times - set(known))
        known = sorted({*known, *times})
    assert len(known) == 12
    assert overtaken > 0


def test_counters_lag_behind_rows(source):
    with LocalServiceX(parallelism=1, faults=Faults(counter_lag=0.5)) as service:
        request_id = service.submit([source] * 2, tree="events")
        seen = Observer(service.url, request_id).watch_until_complete()
    assert any(len(rows) == 2 and status["files-completed"] == 0 for status, rows in seen)


def test_a_failed_upload_has_an_object_name_and_a_size(source):
    faults = Faults(failing={1}, failed_uploads=True)
    with LocalServiceX(parallelism=1, faults=faults) as service:
        request_id = service.submit([source] * 2, tree="events")
        *_, (status, rows) = Observer(service.url, request_id).watch_until_complete()
    assert (status["files-completed"], status["files-failed"]) == (1, 1)
    (failure,) = (row for row in rows if row["transform_status"] == "failure")
    assert failure["s3-object-name"] == str(source).replace("/", ":")
    assert failure["total-bytes"] > 0
    assert "the upload was made to fail" in status["failure-info"]


def test_a_request_can_be_complete_too_early(source):
    with LocalServiceX(parallelism=1, faults=Faults(complete_after=2)) as service:
        request_id = service.submit([source] * 5, tree="events")
        *_, (status, rows) = Observer(service.url, request_id).watch_until_complete()
        dataset = httpx.get(
            f"{service.url}/servicex/datasets/{status['did_id']}", trust_env=False
        ).json()
    assert (status["files"], status["files-completed"], len(rows)) == (2, 2, 2)
    assert dataset["n_files"] == 5


@pytest.mark.parametrize("unnamed", [False, True])
def test_results_on_a_volume_can_be_unnamed(source, unnamed):
    with LocalServiceX(parallelism=1, faults=Faults(unnamed_on_volume=unnamed)) as service:
        request_id = service.submit([source], tree="events", result_destination="volume")
        *_, (_, rows) = Observer(service.url, request_id).watch_until_complete()
    (row,) = rows
    assert row["transform_status"] == "success"
    assert (row["s3-object-name"] == "none") == unnamed


def test_the_database_can_use_local_time(source):
    with LocalServiceX(parallelism=1, faults=Faults(utc_offset=7200.0)) as service:
        request_id = service.submit([source], tree="events")
        *_, (status, rows) = Observer(service.url, request_id).watch_until_complete()
    created_at = datetime.fromisoformat(f"{rows[0]['created_at']}+00:00")
    submitted = datetime.fromisoformat(status["submit-time"])
    assert timedelta(hours=2) <= created_at - submitted < timedelta(hours=2, minutes=1)


# Files that are transformed again


def test_a_file_that_is_transformed_again_keeps_its_row(source, tmp_path):
    path = tmp_path / "a.root"
    write_events(path, 3)
    with LocalServiceX(parallelism=1) as service:
        request_id = service.submit([path, source], tree="events", manual=True)
        observer = Observer(service.url, request_id)
        service.release(request_id, 0)
        (before,) = observer.rows()
        write_events(path, 3000)
        service.retransform(request_id, 0)
        (after,) = observer.rows()
        assert observer.counts() == ("Running", 1, 0)
        name = after["s3-object-name"]
        body = {"request_id": request_id, "file_list": [name]}
        answer = httpx.post(f"{service.url}{TRANSFORMATION}/file-urls", json=body).json()
        content = httpx.get(answer["uris"][name][0]).content
    assert (before["total-events"], after["total-events"]) == (3, 3000)
    assert before["total-bytes"] != after["total-bytes"] == len(content)
    same = {"id", "created_at", "file-path", "s3-object-name", "transform_status"}
    assert {key: before[key] for key in same} == {key: after[key] for key in same}


def write_events(path, count):
    with uproot.recreate(path) as file:
        file.mktree("events", {"x": np.arange(float(count))})


def test_a_failure_turns_into_a_success_and_back(source):
    with LocalServiceX(parallelism=1, faults=Faults(failing={0})) as service:
        request_id = service.submit([source, source], tree="events", manual=True)
        observer = Observer(service.url, request_id)
        service.release(request_id, 0)
        assert observer.counts() == ("Running", 0, 1)
        (failure,) = observer.rows()
        service.retransform(request_id, 0)
        assert observer.counts() == ("Running", 1, 0)
        assert observer.status()["failure-info"] == ""
        (success,) = observer.rows()
        service.release(request_id, 1)
        assert observer.counts() == ("Complete", 2, 0)
        service.retransform(request_id, 0, success=False)
        assert observer.counts() == ("Complete", 1, 1)
    assert failure["transform_status"] == "failure"
    assert success["transform_status"] == "success"
    assert failure["s3-object-name"] == "none" != success["s3-object-name"]
    assert failure["id"] == success["id"]


def test_a_row_can_be_updated_before_it_is_counted(source):
    with LocalServiceX(parallelism=1, faults=Faults(failing={0})) as service:
        request_id = service.submit([source], tree="events", manual=True)
        observer = Observer(service.url, request_id)
        service.release(request_id, 0, counted=False)
        service.retransform(request_id, 0)
        assert observer.counts() == ("Running", 0, 0)
        service.count(request_id)
        assert observer.counts() == ("Complete", 1, 0)


def test_only_a_reported_file_is_transformed_again(source):
    with LocalServiceX(parallelism=1) as service:
        request_id = service.submit([source], tree="events", manual=True)
        with pytest.raises(InvalidArgumentError, match="has no row yet"):
            service.retransform(request_id, 0)
        with pytest.raises(InvalidArgumentError, match="no request 'nope'"):
            service.retransform("nope", 0)


def test_fates_depend_only_on_the_seed_the_request_and_the_file():
    faults = Faults(late=0.3, late_by=10.0, failing=0.4)

    def fates(seed, request):
        return [faults.fate(seed, request, index) for index in range(1000)]

    assert fates(1, 1) == fates(1, 1)
    assert fates(1, 1) != fates(2, 1)
    assert fates(1, 1) != fates(1, 2)
    assert 250 < sum(fate.late_by > 0 for fate in fates(1, 1)) < 350
    assert 350 < sum(fate.fails for fate in fates(1, 1)) < 450
    assert all(0.9 <= fate.jitter <= 1.1 and fate.late_by <= 10 for fate in fates(1, 1))


@pytest.mark.parametrize(
    "values",
    [
        {"late": -0.1},
        {"late": 1.1},
        {"late": float("nan")},
        {"late_by": 11},
        {"late_by": -1},
        {"counter_lag": -1},
        {"failing": 2.0},
        {"failing": {-1}},
        {"never": {3, -2}},
        {"complete_after": 0},
        {"utc_offset": 100_000.0},
    ],
)
def test_faults_out_of_range_are_rejected(values):
    (name,) = values
    with pytest.raises(InvalidArgumentError, match=name):
        Faults(**values)
