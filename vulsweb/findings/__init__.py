"""Findings: stored from scan results, and listed."""
