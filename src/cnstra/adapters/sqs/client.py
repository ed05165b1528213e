"""The client of SQS, and its errors in our words."""

# aiobotocore and botocore do not say their types.
# pyright: basic

import asyncio
from contextlib import AsyncExitStack
from typing import Any

from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession
from botocore import xform_name
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    HTTPClientError,
    NoRegionError,
    ProfileNotFound,
)
from botocore.exceptions import ConnectionError as NotConnected

from cnstra.adapters.sqs.location import Location
from cnstra.errors import BrokerRefused, BrokerUnavailable, CnstraError, InvalidOption

CONNECT_TIMEOUT = 5.0
PATIENCE = 10.0
"""Seconds that an answer may take, beside what SQS was asked to wait."""
CONNECTIONS = 50
TRIES = 2

PASSING = (
    "Throttl", "RequestThrottled", "OverLimit", "ServiceUnavailable", "InternalFailure",
    "InternalError", "KmsThrottled", "KMS.Throttling", "RequestTimeout", "RequestExpired",
    "ExpiredToken", "SlowDown", "PriorRequestNotComplete", "QueueDeletedRecently",
)  # fmt: skip
"""Beginnings of the codes of what passes by itself."""
FORBIDDEN = ("AccessDenied", "KmsAccessDenied", "KMS.AccessDenied", "AuthorizationError")
UNKNOWN_CALLER = (
    "InvalidClientTokenId", "UnrecognizedClient", "SignatureDoesNotMatch", "InvalidSecurity",
    "InvalidAccessKeyId", "MissingAuthenticationToken", "OptInRequired", "IncompleteSignature",
)  # fmt: skip
MISSING = ("NonExistentQueue", "QueueDoesNotExist")
SERVER_ERROR = 500


class QueueMissing(Exception):
    """There is no such queue."""


class Client:
    """SQS in one region, for one caller. Its connections are made when they are needed."""

    def __init__(self, location: Location) -> None:
        self._location = location
        self._client: Any = None
        self._stack = AsyncExitStack()

    async def open(self) -> None:
        """Find region and credentials. Raises `InvalidOption` where they are not to be found."""
        if self._client is not None:
            return
        place = self._location
        config = AioConfig(
            connect_timeout=CONNECT_TIMEOUT,
            max_pool_connections=CONNECTIONS,
            retries={"total_max_attempts": TRIES, "mode": "standard"},
        )
        try:
            session = AioSession(profile=place.profile)
            self._client = await self._stack.enter_async_context(
                session.create_client(
                    "sqs", region_name=place.region, endpoint_url=place.endpoint, config=config
                )
            )
        except NoRegionError as error:
            remedy = "name a region, as in sqs://eu-central-1, or set AWS_DEFAULT_REGION"
            raise InvalidOption(option="url", value=place.url, remedy=remedy) from error
        except ProfileNotFound as error:
            remedy = "name a profile of your AWS configuration"
            raise InvalidOption(option="profile", value=place.profile, remedy=remedy) from error
        except (BotoCoreError, ValueError) as error:
            remedy = f"{error}; see what it takes in cnstra's page on SQS"
            raise InvalidOption(option="url", value=place.url, remedy=remedy) from error

    async def close(self) -> None:
        """Hang up. Harmless when called twice."""
        self._client = None
        await self._stack.aclose()

    async def call(self, action: str, *, wait: float = 0.0, **parameters: Any) -> dict[str, Any]:
        """Ask for an action, such as "SendMessageBatch", that takes `wait` seconds on purpose.

        Raises `BrokerUnavailable` for what passes, `BrokerRefused` for what does not, and
        `QueueMissing`.
        """
        if self._client is None:
            raise BrokerUnavailable(url=self._location.url, reason="it is closed")
        ask = getattr(self._client, xform_name(action))
        try:
            async with asyncio.timeout(PATIENCE + wait):
                answer: dict[str, Any] = await ask(**parameters)
                return answer
        except TimeoutError as error:
            reason = f"no answer within {PATIENCE + wait:g} s"
            raise BrokerUnavailable(url=self._location.url, reason=reason) from error
        except ClientError as error:
            raise self._told(action, error) from error
        except (HTTPClientError, NotConnected, CredentialRetrievalError) as error:
            raise BrokerUnavailable(url=self._location.url, reason=error) from error
        except BotoCoreError as error:
            remedy = "give credentials by environment, profile or role, as for any tool of AWS"
            raise self._refused(action, str(error), remedy) from error

    def _told(self, action: str, error: ClientError) -> CnstraError | QueueMissing:
        details = error.response.get("Error", {})
        code = str(details.get("Code", "")).removeprefix("AWS.SimpleQueueService.")
        reason = f"{code}: {details.get('Message', '')}"
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", SERVER_ERROR)
        if code.endswith(MISSING):
            return QueueMissing(reason)
        if code.startswith(FORBIDDEN):
            permission = f"sqs:{action.removesuffix('Batch')}"
            return self._refused(action, reason, f"allow {permission} to whom this process is")
        if code.startswith(UNKNOWN_CALLER):
            return self._refused(action, reason, "give other credentials")
        if status >= SERVER_ERROR or code.startswith(PASSING):
            return BrokerUnavailable(url=self._location.url, reason=reason)
        return self._refused(action, reason, "check the queue and its settings")

    def _refused(self, action: str, reason: str, remedy: str) -> BrokerRefused:
        return BrokerRefused(url=self._location.url, action=action, reason=reason, remedy=remedy)
