"""Vuls' own files and documents, read and written without a database or Flask."""
