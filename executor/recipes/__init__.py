"""What a job does, step by step.

A recipe runs commands and reads their output.
"""
