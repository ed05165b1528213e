"""`python -m benchmarks.rivals.program RIVAL work | submit FIRST COUNT | results COUNT`."""

import importlib
import json
import sys


def main() -> None:
    name, verb, *numbers = sys.argv[1:]
    rival = importlib.import_module(f"benchmarks.rivals.{name}")
    match verb, [int(number) for number in numbers]:
        case "work", []:
            rival.work()
        case "submit", [first, count]:
            rival.submit(range(first, first + count))
        case "results", [count]:
            print(json.dumps(rival.results(range(count))))
        case _:
            raise SystemExit(__doc__)


if __name__ == "__main__":
    main()
