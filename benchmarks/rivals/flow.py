"""The flow that all of them run: six steps, one after the other, each with an effect.

A step leaves a line in the log of effects when it starts and another when it ends. The log is a
file outside of the system that runs it, and each line is one write, so a kill tears none.
"""

import os
import time

STEPS = 6
SECONDS = 0.02


def step(job: int, number: int, value: int) -> int:
    """Do one step of a job, with what the step before it returned."""
    note("start", job, number)
    time.sleep(SECONDS)
    note("end", job, number)
    return after(job, number, value)


def after(job: int, number: int, value: int) -> int:
    """What a step returns: each step counts in it once, in its place."""
    return (value * 31 + job + number) % 1_000_003


def expected(job: int) -> int:
    value = 0
    for number in range(STEPS):
        value = after(job, number, value)
    return value


def note(what: str, job: int, number: int) -> None:
    line = f"{time.time():.6f} {os.environ['RIVALS_LIFE']} {what} {job} {number}\n"
    file = os.open(os.environ["RIVALS_EFFECTS"], os.O_APPEND | os.O_CREAT | os.O_WRONLY)
    os.write(file, line.encode())
    os.close(file)
