"""What became of runs, for people: attempts and tasks, written behind the workers."""
