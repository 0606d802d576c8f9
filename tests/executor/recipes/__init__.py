"""What jobs do, with fake and real tools, and how the output of tools is read."""
