"""One flow under one killer, in cnstra and in what others would take instead.

Each rival is a module with `work`, `submit` and `results`; `program` runs these in the rival's own
interpreter, `campaign` kills, `log` counts. `make rivals` does it all.
"""
