"""The executor as a caller sees it, with real processes and real files."""
