"""How one command is run."""
