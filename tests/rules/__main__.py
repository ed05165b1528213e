"""`python -m tests.rules [RULE ...]`: take out the line that keeps each rule, see its test fail."""

import argparse
import importlib
import os
import pkgutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import tests.rules
from tests.rules.mutation import ROOT, Mutation, copied

PATIENCE = 120
PASSED, FAILED = 0, 1
NO_MODULE = ("__main__", "mutation")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.rules", description=__doc__)
    parser.add_argument(
        "rules", nargs="*", metavar="RULE", help="R1, D5 ...; all, if none is named"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="how many at once")
    options = parser.parse_args()
    mutations = [one for one in tables() if not options.rules or one.rule in options.rules]
    if not mutations:
        parser.error(f"no line is there for {', '.join(options.rules)}")
    complaints = [*_broken_lines(mutations), *_red_without_mutation(mutations)]
    if not complaints:
        complaints = list(_survivors(mutations, options.jobs))
    print()
    for complaint in complaints:
        print(complaint)
    if not complaints:
        print(f"{len(mutations)} lines taken out, each seen by its test")
    return 1 if complaints else 0


def tables() -> Iterator[Mutation]:
    """Every line of every table."""
    for module in pkgutil.iter_modules(tests.rules.__path__):
        if module.name not in NO_MODULE:
            yield from importlib.import_module(f"tests.rules.{module.name}").MUTATIONS


def _broken_lines(mutations: Sequence[Mutation]) -> Iterator[str]:
    for one in mutations:
        complaint = one.complaint(ROOT)
        if complaint:
            yield f"{one.rule}, {one.what}: {complaint}"


def _red_without_mutation(mutations: Sequence[Mutation]) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        code, report = _run_tests(copied(Path(folder)), sorted({one.test for one in mutations}))
    if code != PASSED:
        yield f"Not all of these tests pass as things are:\n{report}"


def _survivors(mutations: Sequence[Mutation], jobs: int) -> Iterator[str]:
    with ThreadPoolExecutor(jobs) as pool:
        for one, (verdict, report) in zip(mutations, pool.map(_try, mutations), strict=True):
            print(f"{one.rule:4} {verdict:9} {one.what:70} {one.test}", flush=True)
            if verdict != "red":
                yield f"{one.rule}, {one.what}: {verdict}\n{report}"


def _try(mutation: Mutation) -> tuple[str, str]:
    with tempfile.TemporaryDirectory() as folder:
        root = copied(Path(folder))
        mutation.apply(root)
        try:
            code, report = _run_tests(root, [mutation.test])
        except subprocess.TimeoutExpired:
            return "red", "it hung"
    return {PASSED: "SURVIVED", FAILED: "red"}.get(code, "BROKEN"), report


def _run_tests(root: Path, tests: Sequence[str]) -> tuple[int, str]:
    """Run tests of the tree below `root` against the source there. Returns pytest's exit code."""
    options = ["-q", "-x", "-p", "no:xdist", "-p", "no:cacheprovider", "--timeout", "60"]
    names = [f"tests/{test}" for test in tests]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *names],
        cwd=root,
        env={**os.environ, "PYTHONPATH": f"{root / 'src'}{os.pathsep}{root}"},
        capture_output=True,
        text=True,
        timeout=PATIENCE + 10 * len(tests),
    )
    return done.returncode, done.stdout[-3_000:]


if __name__ == "__main__":
    sys.exit(main())
