from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from click.testing import CliRunner, Result

from servicex_layer.cli import main
from servicex_layer.local import LocalServiceX


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["list", *arguments])


def test_requests_are_listed_from_the_newest_to_the_oldest(
    use_service: Callable[[LocalServiceX], None], inputs: list[Path]
):
    with LocalServiceX(authentication=True) as service:
        use_service(service)
        empty = run()
        old = service.submit(inputs[:1], tree="events", title="ttbar\n2026", manual=True)
        new = service.submit(inputs[:2], tree="events", manual=True)
        service.release(old, 0)
        head, *lines = run().output.splitlines()
        rows = json.loads(run("--json", "--backend", "local").output)
    assert empty.output.split() == head.split()
    assert [line.split()[0] for line in lines] == [new, old]
    assert lines[0].split()[3:] == ["Running", "2", "0", "0"]
    assert lines[1].split()[3:] == ["Complete", "1", "1", "0", "ttbar", "2026"]
    assert [row["request_id"] for row in rows] == [new, old]
    assert rows[1].items() >= {"status": "Complete", "files": 1, "title": "ttbar\n2026"}.items()
    assert rows[0]["submitted"] >= rows[1]["submitted"]


def test_an_unknown_backend_is_printed_without_a_traceback(service: LocalServiceX):
    result = run("--backend", "lokal")
    assert result.exit_code == 1
    assert "Did you mean 'local'?" in result.output
