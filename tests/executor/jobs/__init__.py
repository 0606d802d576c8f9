"""Stored jobs, their queue and their runners."""
