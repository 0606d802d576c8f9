"""Runs: started, split into jobs, followed and judged."""
