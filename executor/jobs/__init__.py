"""Jobs: their files on disk, their queue, and their runners."""
