"""Where a rival finds its servers and its folder: what the campaign tells each process."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Place:
    """folder: for files. option: how this rival is to be set, where it has more than one way.
    redis, rabbitmq, postgres: the URL of an empty server, for those who use it.
    """

    folder: str
    option: str = ""
    redis: str = ""
    rabbitmq: str = ""
    postgres: str = ""

    @classmethod
    def told(cls) -> "Place":
        return cls(**json.loads(os.environ["RIVALS_PLACE"]))

    def environment(self) -> dict[str, str]:
        return {
            "RIVALS_PLACE": json.dumps(asdict(self)),
            "RIVALS_EFFECTS": str(Path(self.folder) / "effects"),
        }
