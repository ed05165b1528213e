"""Worker processes, their broker and their store in one thread, by a seed."""
