"""SSH: keys, known hosts and the versions of the managed configuration."""
