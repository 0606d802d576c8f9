"""How far a fetch is, read from what its tool says as it comes. Pure.

The text holds what a feed's server sent: hostile. All that is ever taken from it are numbers.
"""

import codecs
import re

# An end that may still become a whole mark; no mark of ours is longer.
LONGEST_MARK = 200

_MARK = re.compile(
    # gost, once, and goval-dictionary for each file of the feed, before any row is put in.
    r'msg="?Fetched"? [^\n]{0,150}?\b(?:CVEs|Count)=(?P<fetched>\d{1,12})(?=\s)'
    # What the next bar is about.
    r'|msg="(?P<deleting>Deleting old Definitions)'
    r'|msg="(?P<inserting>Insert)'
    # The bar, which is written again five times a second: on one line, where nobody looks at a terminal.
    r"|(?P<done>\d{1,12}) / (?P<total>\d{1,12}) \["
)


class FetchProgress:
    """Reads a fetching tool's output; `done` rows are in, of `total` where the tool has said so."""

    def __init__(self) -> None:
        self.total: int | None = None
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""
        self._before = 0  # rows of the bars that are full
        self._now = 0  # rows of the bar at hand
        self._counts = True

    @property
    def done(self) -> int:
        """Return how many rows the tool has put in."""
        return self._before + self._now

    def feed(self, data: bytes) -> None:
        """Read the next piece of the output, wherever it was cut."""
        text = self._rest + self._decoder.decode(data)
        end = 0
        for mark in _MARK.finditer(text):
            self._read(mark)
            end = mark.end()
        self._rest = text[end:][-LONGEST_MARK:]

    def _read(self, mark: re.Match[str]) -> None:
        if mark["fetched"]:
            self.total = (self.total or 0) + int(mark["fetched"])
        elif mark["deleting"] or mark["inserting"]:
            self._before, self._now = self.done, 0
            self._counts = bool(mark["inserting"])
        elif self._counts:
            self._now = min(int(mark["done"]), int(mark["total"]))
