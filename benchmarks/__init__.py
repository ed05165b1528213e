"""What each thing costs, as a ratio to the least that Python can do for the same work.

A benchmark is a module here with a function `figures(repetitions)`; `__main__` lists them.
"""
