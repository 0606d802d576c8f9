"""How pages say times, spans, sizes and foreign text."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from vulsweb.models import LogChunk
from vulsweb.runs.logs import Position
from vulsweb.views import filters, log_lines

SOME_LOG = "one\ntwo\r\n\nthr\u00e9e \U0001f40b\nfour"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (59, "59 s"),
        (252, "4 min 12 s"),
        (3600, "1 h 0 min"),
        (5025, "1 h 23 min"),
        (90000, "1 d 1 h"),
        (-3, "0 s"),
    ],
)
def test_a_duration_is_said_in_its_two_largest_units(seconds: int, said: str) -> None:
    assert filters.duration(timedelta(seconds=seconds)) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(7, "7 s"), (60, "1 min"), (5399, "90 min"), (5400, "2 h"), (10800, "3 h"), (172800, "2 days")],
)
def test_a_distance_is_said_in_one_unit(seconds: int, said: str) -> None:
    assert filters.roughly(timedelta(seconds=seconds)) == said


def test_a_moment_carries_the_exact_one_for_people_and_for_machines() -> None:
    moment = datetime(2026, 7, 1, 1, 30, tzinfo=UTC)

    said = filters.when(moment, "Europe/London")

    assert 'datetime="2026-07-01T01:30:00+00:00"' in said
    assert 'title="2026-07-01 02:30:00 Europe/London"' in said
    assert "Wed 1 Jul" in said
    assert "02:30</time>" in said


def test_no_moment_is_a_dash() -> None:
    assert {filters.ago(None), filters.when(None), filters.due(None)} == {"\N{EM DASH}"}


@pytest.mark.parametrize(
    ("size", "said"),
    [(None, "\N{EM DASH}"), (999, "999 B"), (1500, "2 kB"), (278_528_000, "279 MB"), (7_000_000_000, "7 GB")],
)
def test_a_size_is_said_in_one_unit(size: int | None, said: str) -> None:
    assert filters.file_size(size) == said


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("0 2 * * *", "At 02:00 every day"),
        ("0 3 1 * *", "At 03:00, on day 1 of the month"),
        ("*/15 * * * *", "Every 15 minutes"),
    ],
)
def test_a_cron_line_is_said_in_words(line: str, said: str) -> None:
    assert filters.cron_in_words(line) == said


def test_characters_that_hide_or_turn_text_round_are_shown_as_such() -> None:
    assert filters.clean("a\u202eb\x00c\x1b[31m") == "a\ufffdb\ufffdc\ufffd[31m"


@pytest.mark.parametrize("text", ["2026-01-01T12:00:00Z", "2026-01-01T12:00:00", "2026-01-01T13:00:00+01:00"])
def test_a_moment_of_the_executor_is_aware(text: str) -> None:
    assert filters.parse_time(text) == datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "soon", None, 17, "<script>"])
def test_what_is_not_a_moment_is_none(text: object) -> None:
    assert filters.parse_time(text) is None


def test_a_log_reads_the_same_however_it_comes_in_pieces() -> None:
    at_once = log_lines.read([LogChunk(start=0, text=SOME_LOG)], Position(), ended=True).lines
    for first in range(len(SOME_LOG) + 1):
        for second in range(first, len(SOME_LOG) + 1):
            kept: list[LogChunk] = []
            shown: list[log_lines.Line] = []
            position, start = Position(), 0
            for begin, end in pairwise((0, first, second, len(SOME_LOG))):
                if begin == end:
                    continue
                kept.append(LogChunk(start=start, text=SOME_LOG[begin:end]))
                start += len(SOME_LOG[begin:end].encode())
                left = [piece for piece in kept if piece.start >= position.piece]
                reading = log_lines.read(left, position, ended=end == len(SOME_LOG))
                shown, position = shown + reading.lines, reading.position

            assert shown == at_once, (first, second)
