"""Worker processes, their broker and their store in one thread, under a virtual clock and a seed."""
