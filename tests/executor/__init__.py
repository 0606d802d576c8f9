"""The executor, driven as a caller drives it, with real processes and real files."""
