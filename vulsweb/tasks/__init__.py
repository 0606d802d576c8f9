"""Scheduled tasks: validated, edited and queried."""
