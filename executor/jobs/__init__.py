"""Jobs: their files on disk, the order of the queue, and the runners that are started for them."""
