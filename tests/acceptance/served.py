"""`cnstra dashboard`, as a process of its own."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import unquote

from tests.acceptance.shell import Shell


@contextmanager
def dashboard(shell: Shell, *words: str) -> Iterator[tuple[str, str]]:
    """The command while it serves: the page's address, and the token."""
    command = [sys.executable, "-m", "cnstra", "dashboard", *words, "--port", "0"]
    with subprocess.Popen(
        command, cwd=shell.folder, env=shell.environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.fullmatch(r"The page is at (http://\S+)/login\?token=(\S+)\n", line)
        assert found, line or process.communicate()[1]
        try:
            yield found[1], unquote(found[2])
        finally:
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
        assert "Traceback" not in errors
        assert found[2] not in errors
