"""The audit trail: an entry for each change."""
