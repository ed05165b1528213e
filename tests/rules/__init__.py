"""Each rule of the design has a line that keeps it and a test that fails without that line.

A module here is the table of one layer: a tuple `MUTATIONS`. `python -m tests.rules` takes out each
line in turn, in a copy of the tree, and demands that the named test turns red.
"""
