"""The vulnerability databases: which exist, their files, and how a file is replaced safely."""
