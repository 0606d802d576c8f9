"""Database files: checked, replaced and described."""
