"""Executors: their settings, and the HTTP client that talks to them."""
