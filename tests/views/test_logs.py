"""A run's log on its page: it grows, pauses, is searched, read block by block and taken away."""

import html
import re
import time

import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import NOW
from tests.views.conftest import HOSTILE, LIVE, MakeRun, add_log, asked_again, flat
from vulsweb.extensions import db
from vulsweb.models import Run, RunStatus
from vulsweb.runs import logs
from vulsweb.views import ansi, log_lines
from vulsweb.views.ansi import Span


def lines(page: str) -> list[str]:
    """Return the log lines of a page or fragment, as text."""
    found = re.findall(r'<li id="L\d+" class="[a-z]*">.*?</a><span>(.*?)</span></li>', page, re.DOTALL)
    return [html.unescape(re.sub(r"<[^>]*>", "", line)) for line in found]


def numbers(page: str) -> list[int]:
    return [int(number) for number in re.findall(r'<li id="L(\d+)"', page)]


@pytest.fixture
def long(make_run: MakeRun) -> Run:
    """A run that is over with 1,300 lines, in pieces that end anywhere."""
    run = make_run(RunStatus.SUCCESS)
    text = "".join(f"line {number}\n" for number in range(1, 1300)) + "line 1300"
    for begin in range(0, len(text), 997):
        add_log(run, text[begin : begin + 997])
    return run


def test_the_log_grows_by_what_is_new_alone(signed_in: FlaskClient, make_run: MakeRun) -> None:
    run = make_run(RunStatus.RUNNING)
    add_log(run, "one\ntwo\nthr")
    page = signed_in.get(f"/runs/{run.id}").text
    first = asked_again(page, "log-tail")

    silent = signed_in.get(first, headers=LIVE)
    add_log(run, "ee\nfo")
    grown = signed_in.get(first, headers=LIVE)
    add_log(run, "ur\nfive")
    run.status, run.completed_at = RunStatus.SUCCESS, NOW
    db.session.commit()
    last = signed_in.get(asked_again(grown.text, "log-tail"), headers=LIVE)

    assert lines(page) == ["one", "two"]
    assert silent.status_code == 204
    assert (lines(grown.text), numbers(grown.text)) == (["three"], [3])
    assert (lines(last.text), numbers(last.text)) == (["four", "five"], [4, 5])
    assert "hx-get" not in last.text


def test_the_log_asks_on_after_a_first_look_at_nothing(signed_in: FlaskClient, make_run: MakeRun) -> None:
    run = make_run(RunStatus.RUNNING)
    address = asked_again(signed_in.get(f"/runs/{run.id}").text, "log-tail")
    add_log(run, "first\n")

    answer = signed_in.get(address, headers=LIVE)

    assert (lines(answer.text), numbers(answer.text)) == (["first"], [1])


def test_a_pause_is_told_how_many_lines_came_and_then_shows_them(
    signed_in: FlaskClient, make_run: MakeRun
) -> None:
    run = make_run(RunStatus.RUNNING)
    add_log(run, "one\n")
    first = asked_again(signed_in.get(f"/runs/{run.id}").text, "log-tail")

    nothing = signed_in.get(f"{first}&paused=yes", headers=LIVE)
    add_log(run, "two\nthree\nfour")
    held = signed_in.get(f"{first}&paused=yes", headers=LIVE)
    second = asked_again(held.text, "log-tail")
    same = signed_in.get(f"{second}&paused=yes", headers=LIVE)
    resumed = signed_in.get(second, headers=LIVE)

    assert nothing.status_code == same.status_code == 204
    assert "2 new lines</span>" in held.text
    assert lines(held.text) == []
    assert lines(resumed.text) == ["two", "three"]
    assert '<span id="log-waiting" class="muted" hx-swap-oob="true"></span>' in resumed.text


def test_a_run_that_ends_in_a_pause_waits_with_its_last_lines(
    signed_in: FlaskClient, make_run: MakeRun
) -> None:
    run = make_run(RunStatus.RUNNING)
    first = asked_again(signed_in.get(f"/runs/{run.id}").text, "log-tail")
    add_log(run, "one\ntwo")
    run.status, run.completed_at = RunStatus.SUCCESS, NOW
    db.session.commit()

    held = signed_in.get(f"{first}&paused=yes", headers=LIVE)
    resumed = signed_in.get(asked_again(held.text, "log-tail"), headers=LIVE)

    assert lines(resumed.text) == ["one", "two"]
    assert "hx-get" not in resumed.text


def test_what_a_long_pause_missed_is_not_sent_whole(signed_in: FlaskClient, make_run: MakeRun) -> None:
    run = make_run(RunStatus.RUNNING)
    add_log(run, "0\n")
    address = asked_again(signed_in.get(f"/runs/{run.id}").text, "log-tail")
    add_log(run, "x\n" * 700)

    answer = signed_in.get(address, headers=LIVE).text

    assert numbers(answer) == list(range(202, 702))
    assert '<a href="?line=201#L201">200 lines left out</a>' in answer


def test_a_long_log_shows_its_end_and_leads_to_the_lines_before(signed_in: FlaskClient, long: Run) -> None:
    page = signed_in.get(f"/runs/{long.id}").text

    assert numbers(page) == list(range(800, 1301))[-len(numbers(page)) :]
    assert len(numbers(page)) == 500
    assert lines(page)[-1] == "line 1300"
    assert f'href="/runs/{long.id}?line=800#log-title">800 earlier lines</a>' in page


@pytest.mark.parametrize(
    ("line", "first", "last"),
    [(1, 1, 500), (500, 1, 500), (501, 501, 1000), (1234, 1001, 1300), (10**9, 1001, 1300)],
)
def test_a_lines_address_shows_the_block_in_which_it_stands(
    signed_in: FlaskClient, long: Run, line: int, first: int, last: int
) -> None:
    page = signed_in.get(f"/runs/{long.id}?line={line}").text

    assert numbers(page) == list(range(first, last + 1))
    assert lines(page) == [f"line {number}" for number in range(first, last + 1)]
    assert f'<a href="?line={first}#L{first}"' in page
    assert ("Later lines" in page) == (last < 1300)
    assert ("earlier line" in page) == (first > 1)


def test_blocks_of_a_log_that_grows_end_with_a_complete_line(
    signed_in: FlaskClient, make_run: MakeRun
) -> None:
    run = make_run(RunStatus.RUNNING)
    add_log(run, "one\ntwo\nthr")

    page = signed_in.get(f"/runs/{run.id}?line=1").text

    assert lines(page) == ["one", "two"]
    assert 'id="log-tail"' not in page


def test_a_search_shows_the_lines_with_their_numbers_and_those_around(
    signed_in: FlaskClient, long: Run
) -> None:
    page = signed_in.get(f"/runs/{long.id}?q=LINE+77").text

    assert "11 lines with <mark>LINE 77</mark>" in flat(page)
    assert numbers(page) == [*range(75, 80), *range(768, 782)]
    assert page.count("<mark>line 77</mark>") == 11
    assert page.count('class="gap"') == 1
    assert 'value="LINE 77"' in page


def test_a_search_answers_htmx_with_its_part_and_the_address_of_the_page(
    signed_in: FlaskClient, long: Run
) -> None:
    found = signed_in.get(f"/runs/{long.id}/log?q=1300", headers=LIVE)
    cleared = signed_in.get(f"/runs/{long.id}/log?q=", headers=LIVE)

    assert found.headers["HX-Replace-Url"] == f"/runs/{long.id}?q=1300"
    assert "<html" not in found.text
    assert numbers(found.text) == [1298, 1299, 1300]
    assert cleared.headers["HX-Replace-Url"] == f"/runs/{long.id}"
    assert len(numbers(cleared.text)) == 500


def test_a_search_with_very_many_lines_goes_on_page_by_page(signed_in: FlaskClient, long: Run) -> None:
    first = signed_in.get(f"/runs/{long.id}?q=line").text
    following = re.search(r'href="([^"]+)">More matching lines', first)
    assert following is not None
    second = signed_in.get(html.unescape(following[1])).text

    assert "1,300 lines with" in flat(first)
    assert first.count("<mark>line</mark> ") == second.count("<mark>line</mark> ") == 200
    assert "<mark>line</mark> 201<" in second


def test_a_search_that_finds_nothing_says_so(signed_in: FlaskClient, long: Run) -> None:
    page = signed_in.get(f"/runs/{long.id}?q=%5B%00.*").text

    assert "No matching lines." in page
    assert "0 lines with" in flat(page)


def test_words_are_found_across_colours_and_hostile_text_stays_text(
    signed_in: FlaskClient, make_run: MakeRun
) -> None:
    run = make_run(RunStatus.SUCCESS)
    add_log(run, f"\x1b[31mfatal: {HOSTILE[:9]}\x1b[0m{HOSTILE[9:]}\n\u202eno\n")

    page = signed_in.get(f"/runs/{run.id}", query_string={"q": HOSTILE}).text

    assert lines(page)[0] == f"fatal: {HOSTILE}"
    assert "<mark>&lt;script&gt;a</mark><mark>lert(" in page
    assert HOSTILE not in page
    assert "\u202e" not in page


def test_the_log_shows_what_a_terminal_would_leave(signed_in: FlaskClient, make_run: MakeRun) -> None:
    run = make_run(RunStatus.SUCCESS)
    add_log(run, "\x1b[31mred\x1b[0m \x1b]0;title\x07plain\n1%\r50%\r100%\r\n\u202edesrever\ttab\n")

    page = signed_in.get(f"/runs/{run.id}").text

    assert lines(page) == ["red plain", "100%", "\N{REPLACEMENT CHARACTER}desrever\ttab"]
    assert '<span class="ansi-red">red</span> plain' in page


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\x1b[1;32mok\x1b[22m!\x1b[m.", [("ok", "ansi-green ansi-bold"), ("!", "ansi-green"), (".", "")]),
        ("\x1b[38;5;9mx\x1b[39my", [("x", "ansi-red"), ("y", "")]),
        ("\x1b[38;2;1;2;3;1mx", [("x", "ansi-bold")]),
        ("\x1b[48;5;1;36mx", [("x", "ansi-cyan")]),
        ("\x1b[97mx\x1b[999999;5mx", [("x", "ansi-white"), ("x", "")]),
        ("\x1b[2Kx\x1b(", [("x\N{REPLACEMENT CHARACTER}(", "")]),
    ],
)
def test_colours_become_classes_and_other_escapes_nothing(text: str, expected: list[tuple[str, str]]) -> None:
    assert [(span.text, span.style) for span in ansi.spans(text)] == expected


def test_lines_that_warn_stand_out(signed_in: FlaskClient, make_run: MakeRun) -> None:
    run = make_run(RunStatus.SUCCESS)
    add_log(run, "[Jan 1]  WARN [a] x\n[Jan 1] ERROR [a] y\n[Jan 1]  INFO [a] z\n")

    page = signed_in.get(f"/runs/{run.id}").text

    assert re.findall(r'<li id="L\d+" class="([a-z]*)"', page) == ["warning", "error", ""]


def test_a_line_without_end_is_cut(signed_in: FlaskClient, make_run: MakeRun) -> None:
    run = make_run(RunStatus.SUCCESS)
    add_log(run, "x" * 300_000)

    page = signed_in.get(f"/runs/{run.id}").text

    assert "and 295,000 more characters: download the log" in page
    assert len(page) < 40_000


@pytest.mark.parametrize(
    "query",
    ["piece=-1&skip=-5", f"piece={10**30}", "piece=x&line=y", "seen=9999999999999", "paused=1&line=9999"],
)
def test_a_made_up_position_in_the_log_does_no_harm(
    signed_in: FlaskClient, make_run: MakeRun, query: str
) -> None:
    run = make_run(RunStatus.RUNNING)
    add_log(run, "one\n")

    assert signed_in.get(f"/runs/{run.id}/log/tail?{query}").status_code in (200, 204)


@pytest.mark.parametrize("query", ["line=1", "line=5&q=", "line=0", "line=x", "q=x", "q=x&after=99", ""])
def test_an_empty_log_can_be_asked_anything(signed_in: FlaskClient, make_run: MakeRun, query: str) -> None:
    run = make_run(RunStatus.FAILED)

    page = signed_in.get(f"/runs/{run.id}?{query}")

    assert page.status_code == 200
    assert numbers(page.text) == []


def test_the_whole_log_can_be_taken_away_as_it_was(signed_in: FlaskClient, make_run: MakeRun) -> None:
    run = make_run(RunStatus.SUCCESS)
    add_log(run, "one\n\x1b[31mtwo")
    add_log(run, "\nthree")

    answer = signed_in.get(f"/runs/{run.id}/log.txt")

    assert answer.text == "one\n\x1b[31mtwo\nthree"
    assert answer.mimetype == "text/plain"
    assert answer.headers["Content-Disposition"] == f'attachment; filename="run-{run.id}.log"'


def test_every_line_of_a_log_is_found_where_it_begins(long: Run) -> None:
    known, text = logs.outline(long.id), logs.whole_text(long.id)
    every = text.split("\n")

    for line in (1, 2, 100, 777, 1299, 1300):
        begin = logs.position(long.id, known, line)
        pieces = logs.chunks(long.id, known, begin, line)
        assert begin.line == line
        assert "".join(piece.text for piece in pieces)[begin.skip :].split("\n")[0] == every[line - 1]


def test_ten_mebibytes_are_searched_and_shown_in_little_time(
    signed_in: FlaskClient, make_run: MakeRun
) -> None:
    run = make_run(RunStatus.SUCCESS)
    line = "[Jan 1 12:00:00]  INFO [host-1] \x1b[32mscanning\x1b[0m package {:08d} of very many packages\n"
    count = 10 * 2**20 // len(line.format(0))
    text = "".join(line.format(number) for number in range(count))
    for begin in range(0, len(text), 2**18):
        add_log(run, text[begin : begin + 2**18])
    times = {}

    for query in ("", "line=50000", "q=00077777", "q=package", "q=not+there"):
        begin_at = time.perf_counter()
        page = signed_in.get(f"/runs/{run.id}?{query}")
        times[query] = (time.perf_counter() - begin_at, len(page.data))

    print(times)
    assert f"{count:,} lines with" in flat(signed_in.get(f"/runs/{run.id}?q=package").text)
    assert all(size < 400_000 for _, size in times.values())


def test_a_search_keeps_marks_out_of_letters_that_change_their_length() -> None:
    (line,) = log_lines.search("\u0130stanbul", "stan").lines

    assert [span.marked for span in line.spans] == [False]


def test_a_line_full_of_matches_or_colours_stays_a_page_that_a_browser_shows() -> None:
    letters = log_lines.search("a" * 5000 + "\n", "a").lines[0]
    colours = log_lines.search("".join(f"\x1b[3{n % 8}ma" for n in range(2500)) + "\n", "a").lines[0]

    assert letters.text == "a" * 5000
    assert sum(len(span.text) for span in letters.spans if span.marked) == ansi.MOST_MARKS
    assert colours.text.startswith("a" * (log_lines.LINE_LENGTH // 6))
    assert len(colours.spans) <= ansi.MOST_SPANS + 1 + 2 * ansi.MOST_MARKS


@given(
    pieces=st.lists(st.tuples(st.text("abé", max_size=6), st.sampled_from(["", "bold"])), max_size=8),
    words=st.text("aB", min_size=1, max_size=2),
)
def test_marks_are_where_the_words_are(pieces: list[tuple[str, str]], words: str) -> None:
    line = [Span(text, style) for text, style in pieces]
    text = "".join(span.text for span in line)

    marked = ansi.marked(line, words)

    letters = [(letter, span.style, span.marked) for span in marked for letter in span.text]
    within = {
        at
        for match in re.finditer(re.escape(words.lower()), text.lower())
        for at in range(match.start(), match.end())
    }
    styles = [style for text, style in pieces for _ in text]
    assert letters == [
        (letter, style, at in within) for at, (letter, style) in enumerate(zip(text, styles, strict=True))
    ]
