"""The progress of a fetch, from the real output of gost, goval-dictionary and go-cve-dictionary."""

import pytest

from executor.recipes.progress import FetchProgress

GOST = (
    b't=x lvl=info msg="Fetched all CVEs from Debian"\n'
    b"t=x lvl=info msg=Fetched CVEs=1331\n"
    b't=x lvl=info msg="Insert Debian CVEs into DB" db=sqlite3\n'
    b"1000 / 1331 [-------->____] 75.13% ? p/s1331 / 1331 [-------] 100.00% 21292 p/s"
)
NVD = (
    b't=x lvl=info msg="Inserting fetched CVEs(2010)..."\n'
    b"1 / 1 [------] 100.00% ? p/s"
    b't=x lvl=info msg="Refreshed 1 CVEs."\n'
    b't=x lvl=info msg="Inserting fetched CVEs(2011)..."\n'
    b"0 [______] ?% ? p/s3 / 7 [--->__] 40% ? p/s"
)
FILES = (
    b't=x lvl=info msg="Insert Ubuntu into DB" db=sqlite3\n'
    b"[          =         ] 1200 files processed. (1200 p/s)[    =     ] 2718 files processed. (1400 p/s)\n"
)
OVAL = (
    b"t=x lvl=info msg=Fetched File=a.xml.bz2 Count=40 Timestamp=2026-01-01\n"
    b"t=x lvl=info msg=Fetched File=b.xml.bz2 Count=60 Timestamp=2026-01-01\n"
    b"t=x lvl=info msg=Refreshing... Family=debian Version=11\n"
    b't=x lvl=info msg="Deleting old Definitions..."\n'
    b"39 / 39 [------] 100.00% ? p/s"
    b't=x lvl=info msg="Inserting new Definitions..."\n40 / 40 [------] 100.00% ? p/s\n'
    b't=x lvl=info msg="Deleting old Definitions..."\n50 / 58 [----->_] 86% ? p/s'
)


@pytest.mark.parametrize("size", [1, 7, 100_000])
@pytest.mark.parametrize(
    ("output", "done", "total"),
    [(GOST, 1331, 1331), (FILES, 2718, None), (NVD, 4, None), (OVAL, 40, 100)],
    ids=["gost", "gost of files", "nvd", "oval"],
)
def test_rows_are_counted_wherever_the_output_is_cut(
    output: bytes, done: int, total: int | None, size: int
) -> None:
    progress = FetchProgress()

    for start in range(0, len(output), size):
        progress.feed(output[start : start + size])

    assert (progress.done, progress.total) == (done, total)


@pytest.mark.parametrize(
    "output", [b"9" * 100_000 + b" / 1 [", b"msg=Fetched CVEs=" + b"9" * 50, b"\xff\x00 / [", b"5 / 3 ["]
)
def test_hostile_output_gives_no_absurd_number(output: bytes) -> None:
    progress = FetchProgress()

    progress.feed(output)

    assert progress.done <= 10**12
    assert progress.total is None
