from hypothesis import settings

# Each run explores anew and prints a blob that replays what it found; a busy machine is no failure.
settings.register_profile("ci", derandomize=False, print_blob=True, deadline=None)
settings.load_profile("ci")
