"""Results in S3 stores: URLs signed here, and the bucket's listing as the list of results."""

from __future__ import annotations

import asyncio
import pickle
import random
import ssl
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from urllib.parse import parse_qs, urlsplit
from xml.sax.saxutils import escape

import awkward as ak
import cloudpickle
import dask
import httpx
import pytest
import trustme
from dask.base import compute
from distributed import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import servicex_layer as sxl
from servicex_layer._config import Polling, find_backend
from servicex_layer._model import Backend, Location, ResultFile, StoreAccess
from servicex_layer.backend._client import RestClient
from servicex_layer.errors import (
    AuthorizationError,
    BackendError,
    BackendUnreachableError,
    FailedFilesError,
    InvalidArgumentError,
    MissingObjectError,
    ProtocolError,
    ServiceXLayerError,
)
from servicex_layer.feed._feed import RequestFeed
from servicex_layer.local import S3, Faults, LocalServiceX
from servicex_layer.reading._read import read_form
from servicex_layer.store._bucket import Bucket
from servicex_layer.transport._result import ResultSource

FORM = "{x: float64, v: var * float64}"


@pytest.fixture(scope="module")
def services(nothing_left):
    """Give a service of each kind, and one S3 server for both that need one."""
    faults = Faults(upload_lag=0.2)
    with (
        LocalServiceX() as urls,
        LocalServiceX(store="s3", authentication=True) as presigned,
        LocalServiceX(version=2024, store=presigned.store, faults=faults) as listing,
    ):
        yield {"file-urls": urls, "presigned": presigned, "listing": listing}


@pytest.fixture(scope="module")
def store(services):
    return services["presigned"].store


@pytest.fixture(params=["file-urls", "presigned", "listing"])
def any_service(request, services, use_service):
    use_service(services[request.param])
    return services[request.param]


@pytest.fixture
def presigning(services, use_service):
    use_service(services["presigned"])
    return services["presigned"]


@pytest.fixture
def listing(services, use_service):
    use_service(services["listing"])
    return services["listing"]


# The same analysis by all ways


@pytest.mark.parametrize("result_format", ["root-file", "root-rntuple", "parquet"])
def test_the_same_answer_from_every_kind_of_store(
    any_service, inputs, cluster_of_processes, result_format
):
    request_id = any_service.submit(inputs, tree="events", result_format=result_format)
    with Client(cluster_of_processes):
        events = sxl.from_servicex(request_id, form=FORM)
        chosen = events[events.x % 100 > 3]
        whole = compute(chosen.x + ak.sum(chosen.v, axis=1))[0]
    expected = [
        100 * index + x + (index + 0.5) * (x % 3) for index in range(4) for x in range(4, 10)
    ]
    assert sorted(whole) == sorted(expected)


@pytest.mark.every_scheduler
def test_a_listing_numbers_each_file_once_on_every_scheduler(
    scheduler, listing, inputs, monkeypatch
):
    monkeypatch.setenv("DASK_SERVICEX_LAYER__SETTLE", "1s")
    request_id = listing.submit(inputs, tree="events", columns=["x"])
    events = sxl.from_servicex(request_id, form="{x: float64}")
    assert sorted(events.x.compute()) == [
        100.0 * index + x for index in range(4) for x in range(10)
    ]


def test_backend_of_2024_is_asked_for_nothing_that_it_does_not_have(listing, inputs):
    listing.traffic.reset()
    request_id = listing.submit(inputs, tree="events", columns=["x"])
    sxl.from_servicex(request_id).x.compute(scheduler="sync")
    assert set(listing.traffic.calls) == {"submit", "status", "info"}


def test_files_that_failed_are_no_results_of_a_listing(services, store, use_service, inputs):
    faults = Faults(failing=frozenset({2}))
    with LocalServiceX(version=2024, store=store, faults=faults) as service:
        use_service(service)
        request_id = service.submit(inputs, tree="events", columns=["x"])
        with pytest.warns(match="1 of 4 files failed"):
            events = sxl.from_servicex(request_id, form="{x: float64}").x.compute()
        assert sorted(events) == [100.0 * i + x for i in (0, 1, 3) for x in range(10)]
        with pytest.raises(FailedFilesError, match="1 of 4 files failed"):
            sxl.from_servicex(request_id, form="{x: float64}", on_failed="raise").compute()


def test_of_a_listed_file_it_is_not_known_whether_it_may_have_no_tree(listing, inputs):
    request_id = listing.submit(inputs[:1], tree="events", columns=["x"])
    events = sxl.from_servicex(request_id, form="{x: float64}", tree="mistyped")
    with pytest.raises(ServiceXLayerError, match="no tree 'mistyped'"):
        events.compute()


# Names, as any bucket may hold them


@settings(deadline=None, max_examples=12)
@given(
    st.lists(
        st.text(
            st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Cn", "Co", "Zl", "Zp")),
            min_size=1,
            max_size=30,
        ).filter(lambda name: "/" not in name and "\\" not in name and name not in {".", ".."}),
        min_size=1,
        max_size=5,
        unique=True,
    )
)
def test_what_is_put_under_any_name_is_listed_and_read(store, names):
    bucket = f"names-{random.randrange(10**12)}"
    store.make(bucket)
    client = store.client()
    for name in names:
        client.put_object(bucket, name, BytesIO(name.encode()), len(name.encode()))

    async def look():
        found = Bucket(bucket, access_of(store))
        listed = [one.object_name for one in await found.objects()]
        return listed, await found.sign(names, timedelta(minutes=10))

    listed, urls = asyncio.run(look())
    assert sorted(listed) == sorted(names)
    assert {name: httpx.get(url).content.decode() for name, url in urls.items()} == {
        name: name for name in names
    }
    store.remove(bucket)


def access_of(store, secret_key=None):
    parts = urlsplit(store.url)
    return StoreAccess(
        parts.netloc, parts.scheme == "https", store.access_key, secret_key or store.secret_key
    )


# A bucket that fills while it is listed; servers that answer what is to be shown


class Bucketful:
    """A backend of 2024 and its store in one: a script of what is in the bucket at which call."""

    name = "a-request"

    def __init__(self, names, *, at_a_time, lead=0, lost=()):
        self.names = names
        self.at_a_time = at_a_time
        self.lead = lead
        self.lost = frozenset(lost)
        self.visible = 0
        self.calls: Counter[str] = Counter()
        self.endpoint = ""
        self.key = "first-key"
        self.second = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        self.times = {}
        self.says = {}
        """What the status says otherwise."""

    def answer(self, _method, target):
        parts = urlsplit(target)
        query = {key: value[0] for key, value in parse_qs(parts.query, True).items()}
        self.visible = min(self.visible + self.at_a_time, len(self.names))
        if parts.path == "/servicex":
            return self.json({"app-version": "1.5"})
        if parts.path.startswith("/servicex/transformation/"):
            self.calls["status"] += 1
            return self.json(self.status())
        if "location" in query:
            return self.xml("<LocationConstraint/>")
        assert parts.path == f"/{self.name}"
        self.calls["page"] += 1
        return self.listing(query.get("continuation-token", ""))

    def status(self):
        completed = min(self.visible + self.lead, len(self.names))
        return {
            "request_id": self.name,
            "status": "Complete" if completed == len(self.names) else "Running",
            "files": len(self.names),
            "files-completed": completed,
            "files-failed": 0,
            "minio-endpoint": self.endpoint,
            "minio-secured": False,
            "minio-access-key": self.key,
            "minio-secret-key": "not-to-be-shown",
            **self.says,
        }

    def listing(self, after):
        there = sorted(set(self.names[: self.visible]) - self.lost)
        page = [name for name in there if name > after][:1000]
        more = bool(page) and page[-1] != there[-1]
        contents = "".join(
            f"<Contents><Key>{escape(name)}</Key><Size>7</Size>"
            f"<LastModified>{self.times.get(name, self.second)}</LastModified></Contents>"
            for name in page
        )
        token = f"<NextContinuationToken>{page[-1]}</NextContinuationToken>" if more else ""
        return self.xml(
            f"<ListBucketResult><Name>{self.name}</Name><IsTruncated>{str(more).lower()}"
            f"</IsTruncated>{token}{contents}</ListBucketResult>"
        )

    def json(self, content):
        return 200, httpx.Response(200, json=content).content, {"Content-Type": "application/json"}

    def xml(self, content, status=200):
        return status, content.encode(), {"Content-Type": "application/xml"}


@pytest.fixture
def feed_of(serve):
    """Make the feed of a script."""

    def feed_of(script, *, retry_timeout=0.0):
        url = serve(script.answer)
        script.endpoint = urlsplit(url).netloc
        rest = RestClient(Backend("scripted", url), retry_timeout)
        polling = Polling(0.0, 0.0, 0.0, 5.0, None, retry_timeout)
        return RequestFeed(rest, script.name, polling)

    return feed_of


async def all_files(feed, count):
    files = await asyncio.gather(*(feed.get(number, count) for number in range(count)))
    return [file.name for file in files]


@pytest.mark.parametrize("lead", [0, 70], ids=["uploaded-first", "counted-first"])
def test_objects_that_appear_while_pages_are_listed_are_numbered_once(feed_of, lead):
    names = [f"{number:04}.root" for number in range(2500)]
    random.Random(5).shuffle(names)
    script = Bucketful(names, at_a_time=40, lead=lead)
    found = asyncio.run(all_files(feed_of(script), len(names)))
    assert sorted(found) == sorted(names)
    assert script.calls["page"] > 30, "it was listed page by page, while it was filled"


class Scripted(Bucketful):
    """Of each object: at which call it appears, at which it is counted, and its second."""

    def __init__(self, script):
        super().__init__([f"{number}.root" for number in range(len(script))], at_a_time=0)
        self.script = dict(zip(self.names, script, strict=True))
        now = datetime.now(UTC)
        for name, (_appears, _counted, second) in self.script.items():
            time = now + timedelta(seconds=second)
            self.times[name] = time.strftime("%Y-%m-%dT%H:%M:%S.000Z")
        self.call = 0

    def answer(self, method, target):
        self.call += 1
        self.lost = frozenset(
            name for name, (appears, *_) in self.script.items() if appears > self.call
        )
        self.visible = len(self.names)
        return super().answer(method, target)

    def status(self):
        counted = sum(counted <= self.call for _appears, counted, _second in self.script.values())
        done = counted == len(self.names)
        self.says = {"files-completed": counted, "status": "Complete" if done else "Running"}
        return super().status()


@settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    script=st.lists(
        st.tuples(st.integers(0, 12), st.integers(0, 12), st.integers(0, 2)),
        min_size=1,
        max_size=8,
    ),
    shuffled=st.randoms(use_true_random=False),
)
def test_each_object_is_in_one_partition_whatever_appears_and_is_counted_when(
    feed_of, script, shuffled
):
    order = list(range(len(script)))
    shuffled.shuffle(order)

    async def look():
        feed = feed_of(Scripted(script), retry_timeout=20.0)
        files = await asyncio.gather(*(feed.get(number, len(script)) for number in order))
        again = await asyncio.gather(*(feed.get(number, len(script)) for number in order))
        assert again == files
        return [file.name for file in files]

    assert sorted(asyncio.run(look())) == sorted(Scripted(script).names)


def test_a_listed_object_is_known_by_its_name_whenever_it_was_written_again(feed_of):
    script = Bucketful(["a.root", "b.root"], at_a_time=1)

    async def look():
        feed = feed_of(script)
        first = (await feed.get(0, 2)).name
        script.times[first] = "2026-11-22T19:50:00.000Z"
        return [first, (await feed.get(1, 2)).name, (await feed.get(0, 2)).name]

    assert asyncio.run(look()) == ["a.root", "b.root", "a.root"]


def test_a_result_that_never_appears_is_an_error_not_an_empty_partition(feed_of):
    script = Bucketful(["a.root", "b.root"], at_a_time=2, lost=["b.root"])
    with pytest.raises(ProtocolError, match=r"2 finished .* its store has 1"):
        asyncio.run(all_files(feed_of(script), 2))


@pytest.mark.filterwarnings("ignore:.*1 of 2 files failed")
def test_an_object_that_is_never_counted_is_an_error(feed_of):
    script = Bucketful(["a.root", "b.root"], at_a_time=2)
    script.says = {"status": "Complete", "files-completed": 1, "files-failed": 1}

    async def look():
        feed = feed_of(script)
        assert (await feed.get(0, 2)).name == "a.root"
        await feed.get(1, 2)

    with pytest.raises(ProtocolError, match=r"1 finished and 1 failed .* its store has 2"):
        asyncio.run(look())


# What can be the matter with a store


ERRORS = {
    "InvalidAccessKeyId": (AuthorizationError, "does not know the access key.*operators"),
    "SignatureDoesNotMatch": (AuthorizationError, "secret key is not the right one.*operators"),
    "AccessDenied": (AuthorizationError, "keys do not allow it"),
    "NoSuchBucket": (MissingObjectError, "bucket is gone.*submit the request again"),
    "RequestTimeTooSkewed": (BackendError, "clock of this machine.*Set the clock"),
    "Odd": (BackendError, "Odd: that is odd"),
}


class Refusing(Bucketful):
    """A store that refuses with an error, until it has refused so often or the keys are others."""

    def __init__(self, code, status=403, *, times=None, good_key=None):
        super().__init__(["a.root"], at_a_time=1)
        self.code = code
        self.http_status = status
        self.refusals = times
        self.good_key = good_key

    def status(self):
        if self.good_key and self.calls["status"] > 1:
            self.key = self.good_key
        return super().status()

    def listing(self, after):
        if self.key == self.good_key or self.calls["page"] - 1 == self.refusals:
            return super().listing(after)
        said = f"<Error><Code>{self.code}</Code><Message>that is odd</Message></Error>"
        return self.xml(said, self.http_status)


class SendingOn(Bucketful):
    """A store that is elsewhere, as it says."""

    target = ""

    def xml(self, _content, status=307):
        return status, b"", {"Location": self.target}


class WebPage(Bucketful):
    """No store at all."""

    def xml(self, _content, status=200):
        return status, b"<html>Welcome!<p>", {}


@pytest.mark.parametrize("code", ERRORS)
def test_what_a_store_refuses_is_told(feed_of, code):
    kind, text = ERRORS[code]
    with pytest.raises(kind, match=f"S3 store http.*a-request.*{text}") as caught:
        asyncio.run(feed_of(Refusing(code)).get(0, 1))
    assert "first-key" not in str(caught.value)
    assert "not-to-be-shown" not in str(caught.value)


def test_keys_that_were_changed_are_taken_from_the_status(feed_of):
    script = Refusing("InvalidAccessKeyId", good_key="second-key")
    assert asyncio.run(feed_of(script).get(0, 1)).name == "a.root"


def test_a_store_that_fails_for_a_while_is_asked_again(feed_of):
    script = Refusing("SlowDown", status=503, times=2)
    assert asyncio.run(feed_of(script, retry_timeout=20.0).get(0, 1)).name == "a.root"


def test_a_store_that_goes_on_failing(feed_of):
    with pytest.raises(BackendUnreachableError, match=r"answered 503 .*retry-timeout"):
        asyncio.run(feed_of(Refusing("SlowDown", status=503)).get(0, 1))


def test_a_store_that_is_none(feed_of):
    with pytest.raises(ProtocolError, match="something answers that is no S3 store"):
        asyncio.run(feed_of(WebPage(["a.root"], at_a_time=1)).get(0, 1))


@pytest.mark.parametrize("endpoint", ["", None])
def test_a_status_that_names_no_store(feed_of, endpoint):
    script = Bucketful(["a.root"], at_a_time=1)
    script.says = {"minio-endpoint": endpoint}
    with pytest.raises(BackendError, match="tells of no way to the results"):
        asyncio.run(feed_of(script).get(0, 1))


def test_a_status_that_names_nonsense_as_its_store(feed_of):
    script = Bucketful(["a.root"], at_a_time=1)
    script.says = {"minio-endpoint": "127.0.0.1/path"}
    with pytest.raises(ProtocolError, match=r"'127.0.0.1/path' .* no host and port"):
        asyncio.run(feed_of(script).get(0, 1))


def test_a_store_that_leads_inside_is_not_asked(feed_of):
    script = Bucketful(["a.root"], at_a_time=1)
    script.says = {"minio-endpoint": "169.254.169.254"}
    with pytest.raises(ProtocolError, match=r"S3 store .* link-local"):
        asyncio.run(feed_of(script).get(0, 1))


def test_a_store_that_sends_on_is_not_followed(feed_of, serve):
    elsewhere = Bucketful(["a.root"], at_a_time=1)
    script = SendingOn(["a.root"], at_a_time=1)
    script.target = f"{serve(elsewhere.answer)}/a-request?list-type=2"
    with pytest.raises(BackendError, match="S3 store"):
        asyncio.run(feed_of(script).get(0, 1))
    assert not elsewhere.calls


def test_a_store_that_is_not_there(feed_of):
    script = Bucketful(["a.root"], at_a_time=1)
    script.says = {"minio-endpoint": "127.0.0.1:9"}
    with pytest.raises(BackendUnreachableError, match=r"S3 store http://127\.0\.0\.1:9.*refused"):
        asyncio.run(feed_of(script).get(0, 1))


def test_a_bucket_that_is_gone_before_it_is_read(presigning, inputs):
    request_id = presigning.submit(inputs[:1], tree="events", columns=["x"], manual=True)
    presigning.release(request_id, 0)
    events = sxl.from_servicex(request_id, form="{x: float64}")
    presigning.store.remove(request_id)
    with pytest.raises(MissingObjectError, match="bucket is gone"):
        events.compute()


@pytest.mark.parametrize(
    ("status", "code", "text"),
    [
        (404, "NoSuchBucket", r"bucket is gone \(NoSuchBucket: that is odd\)"),
        (403, "AccessDenied", "answered 403 AccessDenied: that is odd"),
        (404, "NoSuchKey", "answered 404 NoSuchKey: that is odd"),
    ],
)
def test_what_a_store_answers_to_a_reader_is_told(serve, status, code, text):
    body = f"<Error><Code>{code}</Code><Message>that is odd</Message></Error>".encode()
    url = serve(lambda _method, _path: (status, body, {"Content-Type": "application/xml"}))
    with (
        dask.config.set({"servicex-layer.retry-timeout": "0s"}),
        pytest.raises(MissingObjectError, match=f"Result 'a.root' of .*{text}"),
    ):
        read_form(source_at(f"{url}/a-request/a.root"), None)


def source_at(url):
    file = ResultFile(1, datetime.now(UTC), "a.root", "in.root", 1, 100)
    return ResultSource(file, lambda _rejected: Location(url), "Result 'a.root' of a request")


# TLS with an authority of one's own


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def secured(authority):
    """Serve a script over TLS."""
    servers = []

    def secured(script):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                status, body, headers = script.answer("GET", self.path)
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.handle_error = lambda *_: None  # type: ignore[method-assign]
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        servers.append((server, thread))
        return f"127.0.0.1:{server.server_address[1]}"

    yield secured
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("trusted", [True, False])
def test_a_store_with_a_certificate_of_a_private_authority(
    feed_of, secured, authority, tmp_path, monkeypatch, trusted
):
    from servicex_layer.net._retry import tls_context

    script = Bucketful(["a.root"], at_a_time=1)
    feed = feed_of(script)
    script.says = {"minio-endpoint": secured(script), "minio-secured": True}
    if trusted:
        authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    tls_context.cache_clear()
    try:
        if trusted:
            assert asyncio.run(feed.get(0, 1)).name == "a.root"
        else:
            with pytest.raises(BackendUnreachableError, match=r"not trusted.*SSL_CERT_FILE"):
                asyncio.run(feed.get(0, 1))
            with pytest.raises(MissingObjectError, match=r"not trusted.*SSL_CERT_FILE"):
                read_form(source_at(f"https://{script.says['minio-endpoint']}/a.root"), None)
    finally:
        tls_context.cache_clear()


# Nothing secret goes where it does not belong


def test_keys_are_in_no_repr_graph_or_pickle(presigning, inputs):
    request_id = presigning.submit(inputs, tree="events", columns=["x"])
    events = sxl.from_servicex(request_id)

    async def ask():
        rest = RestClient(find_backend(), 1.0)
        async with rest.connected():
            return await rest.status(request_id)

    status = asyncio.run(ask())
    secret, key = presigning.store.secret_key, status.store.access_key
    assert status.store.secret_key == secret
    assert pickle.loads(pickle.dumps(status)).store is None  # noqa: S301
    shown = f"{status!r} {status} {status.store!r} {status.store} {presigning.store!r}"
    stored = cloudpickle.dumps((events, events.dask, status, status.store))
    assert secret not in shown
    assert key not in shown
    assert secret.encode() not in stored
    assert key.encode() not in stored


# The embedded server's own store


def test_a_store_that_is_there_already_is_left_as_it_was(services, store, use_service, inputs):
    before = {bucket.name for bucket in store.client().list_buckets()}
    given = S3(store.url, "other-key", "other-secret")
    with LocalServiceX(store=given, name="other") as service:
        use_service(service)
        request_id = service.submit(inputs[:1], tree="events", columns=["x"])
        assert len(sxl.from_servicex(request_id).compute()) == 10
        assert store.client().bucket_exists(request_id)
        assert service.store == given
    assert {bucket.name for bucket in store.client().list_buckets()} == before


def test_a_deleted_request_has_no_bucket(services, store, inputs):
    with LocalServiceX(store=store) as service:
        request_id = service.submit(inputs[:1], tree="events")
        httpx.delete(f"{service.url}/servicex/transformation/{request_id}").raise_for_status()
        assert not store.client().bucket_exists(request_id)


def test_a_server_without_a_store_names_none(services):
    assert services["file-urls"].store is None


def test_a_store_that_is_given_and_not_there():
    with (
        pytest.raises(BackendError, match=r"S3 store http://127\.0\.0\.1:9 .*refused"),
        LocalServiceX(store=S3("http://127.0.0.1:9", "key", "secret")),
    ):
        pass


@pytest.mark.parametrize("url", ["ftp://host", "host:9000", "http://", "http://host/path"])
def test_what_is_no_url_of_a_store(url):
    with pytest.raises(InvalidArgumentError, match="no URL of an S3 store"):
        S3(url, "key", "secret")


@pytest.mark.parametrize("options", [{"store": "minio"}, {"version": 2023}])
def test_roles_that_there_are_not(options):
    with pytest.raises(InvalidArgumentError, match=r"2024|'s3'"):
        LocalServiceX(**options)


def test_time_of_a_bucket_is_the_stores(store):
    store.make("a-bucket")

    async def look():
        bucket = Bucket("a-bucket", access_of(store))
        before = bucket.now()
        await bucket.objects()
        return before, bucket.now()

    before, now = asyncio.run(look())
    assert -2 < (now - datetime.now(UTC)).total_seconds() <= 0
    assert before.year == 1970, "never ahead: not before it is known"
    store.remove("a-bucket")
