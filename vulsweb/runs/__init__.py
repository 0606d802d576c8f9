"""Runs: started, turned into jobs, followed and concluded."""
