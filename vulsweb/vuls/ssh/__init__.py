"""The managed ssh_config: parsed, checked and generated. Pure."""
