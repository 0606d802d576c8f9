"""The single-machine stack."""

from collections.abc import Mapping


def run(environ: Mapping[str, str]) -> int:
    """Start the stack."""
    raise NotImplementedError(environ)
