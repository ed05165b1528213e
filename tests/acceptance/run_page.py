"""Run the Python blocks of one Markdown page, in order, in one namespace: `run_page.py PAGE`.

A block may await at its top level, as in `python -m asyncio`. One that begins with `# name.py` can
be imported by those after it. Tracebacks point at lines of the page.
"""

import ast
import asyncio
import inspect
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType


def python_blocks(page: Path) -> Iterator[tuple[int, str]]:
    """Each block with the number of the line above its first one."""
    block: list[str] | None = None
    start = 0
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
        if line.strip() == "```python":
            block, start = [], number
        elif line.strip() == "```" and block is not None:
            yield start, textwrap.dedent("\n".join(block))
            block = None
        elif block is not None:
            block.append(line)


def main(page: Path) -> None:
    sys.path[0] = str(Path.cwd())
    namespace = sys.modules["__main__"].__dict__
    with asyncio.Runner() as runner:
        for start, source in python_blocks(page):
            file = re.match(r"# (\w+\.py)$", source, re.MULTILINE)
            if file:
                Path(file[1]).write_text(source, encoding="utf-8")
            tree = ast.increment_lineno(ast.parse(source), start)
            code = compile(tree, page, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            if code.co_flags & inspect.CO_COROUTINE:
                runner.run(FunctionType(code, namespace)())
            else:
                exec(code, namespace)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
