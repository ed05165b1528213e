"""RabbitMQ servers that tests start, fill, kill and start again."""

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.redis_server import free_port

FOLDERS = ("/usr/lib/rabbitmq/bin", "/usr/local/sbin", "/usr/sbin", "/opt/rabbitmq/sbin")
CONFIG = """
listeners.tcp.1 = 127.0.0.1:{port}
load_definitions = {folder}/definitions.json
{more}
"""
ADVANCED = "[{{rabbit, [{terms}]}}].\n"
NAMES_LAG = 4.0
"""Seconds that RabbitMQ 3.10 takes to write down the name of a new quorum queue, and some."""
EVERYTHING = {"configure": ".*", "write": ".*", "read": ".*"}


class RabbitServer:
    """A node with ports, a cookie and data of its own in `folder`.

    config: more lines of its configuration. terms: Erlang terms of the application's environment.
    users: passwords by name, beside guest; permissions: each with vhost, user and patterns.
    """

    def __init__(
        self,
        folder: Path,
        *,
        config: str = "",
        terms: str = "",
        users: Mapping[str, str] | None = None,
        vhosts: tuple[str, ...] = (),
        permissions: tuple[Mapping[str, str], ...] = (),
    ) -> None:
        self.folder = folder
        self.port = free_port()
        self.tls = 0
        self.process: subprocess.Popen[bytes] | None = None
        self._names: subprocess.Popen[bytes] | None = None
        self._node = f"cnstra{self.port}@localhost"
        self._epmd, self._distribution = str(free_port()), str(free_port())
        config = CONFIG.format(port=self.port, folder=folder, more=config)
        (folder / "rabbitmq.conf").write_text(config)
        (folder / "advanced.config").write_text(ADVANCED.format(terms=terms))
        (folder / "plugins").write_text("[].\n")
        definitions = _definitions({"guest": "guest", **(users or {})}, ("/", *vhosts), permissions)
        (folder / "definitions.json").write_text(json.dumps(definitions))

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}"

    def start(self) -> None:
        if self._names is None:  # Erlang's own would outlive it, as a daemon
            self._names = subprocess.Popen(["epmd", "-port", self._epmd])
        self.process = subprocess.Popen(
            [_program("rabbitmq-server")],
            env=self._environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        deadline = time.monotonic() + 180  # seconds of a recovery on a busy machine
        while time.monotonic() < deadline:
            assert self.process.poll() is None, f"it did not start: see {self.folder}"
            if self._greets():
                return
            time.sleep(0.05)
        raise TimeoutError("RabbitMQ does not answer")

    def kill(self) -> None:
        """End it as a crash does. Queues younger than `NAMES_LAG` do not work after that."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop it in good order, and start it again."""
        assert self.process is not None
        self.process.terminate()
        self.process.wait()
        self.start()

    def stop(self) -> None:
        """End it for good."""
        self._end(signal.SIGKILL)
        if self._names is not None:
            self._names.terminate()
            self._names.wait()

    def control(self, *words: str) -> str:
        """Run `rabbitmqctl`. It takes seconds."""
        done = subprocess.run(
            [_program("rabbitmqctl"), "--node", self._node, *words],
            env=self._environment, capture_output=True, text=True, check=True,
        )  # fmt: skip
        return done.stdout

    def cut(self) -> None:
        """Drop every connection."""
        self.control("close_all_connections", "cut by a test")

    @property
    def _environment(self) -> Mapping[str, str]:
        return os.environ | {
            "HOME": str(self.folder),
            "ERL_EPMD_PORT": self._epmd,
            "RABBITMQ_NODENAME": self._node,
            "RABBITMQ_DIST_PORT": self._distribution,
            "RABBITMQ_MNESIA_BASE": str(self.folder / "data"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_PID_FILE": str(self.folder / "pid"),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(self.folder / "advanced.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "plugins"),
            "RABBITMQ_CONF_ENV_FILE": str(self.folder / "no-environment"),
        }

    def _greets(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as client:
                client.sendall(b"AMQP\x00\x00\x09\x01")
                return len(client.recv(7)) == 7
        except OSError:
            return False

    def _end(self, how: signal.Signals) -> None:
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, how)
            self.process.wait()


def _program(name: str) -> str:
    """Past Debian's wrapper, which would change the user."""
    found = shutil.which(name, path=os.pathsep.join((*FOLDERS, os.environ["PATH"])))
    assert found is not None, "these tests need rabbitmq-server: apt install rabbitmq-server"
    return found


def _definitions(
    users: Mapping[str, str], vhosts: tuple[str, ...], permissions: tuple[Mapping[str, str], ...]
) -> Mapping[str, Any]:
    everywhere = [{"user": "guest", "vhost": vhost, **EVERYTHING} for vhost in vhosts]
    return {
        "users": [{"name": name, "password": word, "tags": ""} for name, word in users.items()],
        "vhosts": [{"name": name} for name in vhosts],
        "permissions": [*everywhere, *permissions],
    }
