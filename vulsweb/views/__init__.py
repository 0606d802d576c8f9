"""The pages, one blueprint a noun."""

from flask import Flask


def register(app: Flask) -> None:
    """Add the pages to the application."""
