"""Real worker processes on an SQLite file, killed by SIGKILL at every point of a job."""
