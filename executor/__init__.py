"""The executor: the only part that runs tools."""
