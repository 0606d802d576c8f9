"""System: the health of every component."""
