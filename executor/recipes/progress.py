"""Reads the progress of a fetch from its tool's output.

The output is read as it comes. It holds what a feed's server sent, so do not trust it: only numbers are
taken from it.

This module is pure.
"""

import codecs
import re

# How much of the end is kept, because a mark may be cut in two; no mark is longer.
LONGEST_MARK = 200

_MARK = re.compile(
    # From gost once, from goval-dictionary for each file of the feed; before any row is inserted.
    r'msg="?Fetched"? [^\n]{0,150}?\b(?:CVEs|Count)=(?P<fetched>\d{1,12})(?=\s)'
    # What the next progress bar counts.
    r'|msg="(?P<deleting>Deleting old Definitions)'
    r'|msg="(?P<inserting>Insert)'
    # The progress bar, five times a second, all on one line because there is no terminal.
    r"|(?P<done>\d{1,12}) / (?P<total>\d{1,12}) \["
    # From gost where it reads one file for each row, and does not count them before.
    r"|\] (?P<files>\d{1,12}) files processed"
)


class FetchProgress:
    """Counts the inserted rows; `total` is set if the tool announced it."""

    def __init__(self) -> None:
        self.total: int | None = None
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""
        self._before = 0  # rows of the finished bars
        self._now = 0  # rows of the current bar
        self._counts_rows = True  # whether the current bar counts inserted rows

    @property
    def done(self) -> int:
        """Return the number of rows that the tool has inserted."""
        return self._before + self._now

    def feed(self, data: bytes) -> None:
        """Read the next piece of the output, wherever it was cut."""
        text = self._rest + self._decoder.decode(data)
        end = 0
        for mark in _MARK.finditer(text):
            end = mark.end()
            if mark["fetched"]:
                self.total = (self.total or 0) + int(mark["fetched"])
            elif mark["deleting"] or mark["inserting"]:
                self._before, self._now = self.done, 0
                self._counts_rows = bool(mark["inserting"])
            elif mark["files"]:
                self._now = int(mark["files"])
            elif self._counts_rows:
                self._now = min(int(mark["done"]), int(mark["total"]))
        self._rest = text[end:][-LONGEST_MARK:]
