"""Faults: a whole stack whose processes are killed while its clock ticks."""
