"""Vuls' own files and documents, read and written.

This package needs neither a database nor Flask.
"""
