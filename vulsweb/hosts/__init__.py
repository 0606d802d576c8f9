"""Hosts: read from config.toml, tagged, tested and listed."""
