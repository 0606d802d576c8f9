"""The bench works, at a size that takes seconds; how long anything takes is nobody's promise here."""

import os
from pathlib import Path

from flask import Flask

from tests.bench import detections, documents
from tests.bench.measures import PAGE, QUERY, VIEW, measured, table
from tests.bench.rows import Size, fill
from tests.support.needs import tool
from vulsweb.extensions import db


def test_everything_is_measured_beside_its_floor(app: Flask) -> None:
    size = Size.of(float(os.environ.get("BENCH_SCALE", "0.001")))
    fill(size)

    lines = list(measured(app, size, repeats=1))

    assert {line.floor for line in lines} == {QUERY, PAGE, VIEW}
    assert len(lines) == len({line.name for line in lines}) == 24
    assert all(line.milliseconds > 0 and line.ratio > 0 for line in lines)
    assert len(table(lines, size).splitlines()) == 28
    db.session.rollback()

    line = documents.measured(10)

    assert line.startswith("A document of 0 MB with ")


def test_the_real_vuls_looks_at_hosts_again(tmp_path: Path) -> None:
    line = detections.measured(tool("vuls").parent, tmp_path, 2)

    assert line.startswith("2 hosts of ")
