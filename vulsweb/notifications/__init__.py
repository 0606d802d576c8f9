"""Notifications: channels, rules, and the outbox that messages are sent from."""
