"""The vulnerability databases and their files.

This package lists the databases, reads their files, and replaces a file safely.
"""
