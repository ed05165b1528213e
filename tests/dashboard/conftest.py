from importlib.metadata import EntryPoint

import pytest

from cnstra.durable import adapters


@pytest.fixture(autouse=True, scope="session")
def mail_adapter() -> None:
    """Have `mail://` found as an installed adapter is."""
    installed = adapters._installed()  # pyright: ignore[reportPrivateUsage]
    installed["mail"] = EntryPoint("mail", "tests.mail", adapters.GROUP)
