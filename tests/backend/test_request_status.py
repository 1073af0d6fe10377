from __future__ import annotations

from dataclasses import replace

from servicex_layer.backend import RequestStatus

RUNNING = RequestStatus(
    request_id="a",
    backend="far",
    url="https://far.example",
    state="Lookup",
    files=12,
    finished=7,
    failed=2,
    file_count_final=False,
    is_terminal=False,
    result_format="parquet",
)
FAILED = replace(
    RUNNING,
    failed_inputs=("root://a", "root://b"),
    reason="No branch <JetPt>",
    log_url="https://logs.example/a?x=1&y=2",
)


def html_of(status: RequestStatus) -> str:
    return status._repr_html_()


def test_the_text_has_a_line_for_each_value():
    assert repr(RUNNING).splitlines() == [
        "Request  a",
        "Backend  far, https://far.example",
        "Status   Lookup",
        "Files    12 looked up so far, 7 finished, 2 failed",
        "Format   parquet",
    ]
    assert FAILED.explanation().splitlines() == [
        "Failed   root://a",
        "         root://b",
        "Reason   No branch <JetPt>",
        "Logs     https://logs.example/a?x=1&y=2",
    ]
    assert repr(FAILED) == f"{RUNNING!r}\n{FAILED.explanation()}"


def test_the_text_shows_ten_failed_inputs_and_the_attribute_has_all():
    status = replace(RUNNING, failed_inputs=tuple(f"root://{n}" for n in range(12)))
    *_, tenth, more = repr(status).splitlines()
    assert (tenth.strip(), more.strip()) == ("root://9", "and 2 more")
    assert len(status.failed_inputs) == 12


def test_the_text_cuts_a_reason_that_fills_pages():
    status = replace(RUNNING, reason="no " * 10_000)
    assert len(repr(status)) < 2000
    assert repr(status).endswith(" …")


def test_the_html_escapes_what_the_backend_sent():
    html = html_of(FAILED)
    assert "No branch &lt;JetPt&gt;" in html
    assert '<a href="https://logs.example/a?x=1&amp;y=2">' in html


def test_only_a_web_page_becomes_a_link():
    html = html_of(replace(RUNNING, log_url="javascript:alert(1)"))
    assert "javascript:alert(1)" in html
    assert "href" not in html
