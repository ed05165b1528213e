"""Errors word themselves, those that users derive from ours too, and none becomes another."""

import copy
import pickle
from collections.abc import Callable
from datetime import timedelta

import pytest

from cnstra import CnstraError, DoNotRetry, RetryAfter
from cnstra.errors import DurationExceeded, MissingExtra, UnknownNeuron, UnknownResource


class CardRefused(DoNotRetry):
    """The bank said {code}."""


class BadTemplate(DoNotRetry):
    """Sent as {"code": 402}, {0} or {"""


class OddCard(DoNotRetry):
    def __init__(self, bank: str, code: int) -> None:
        super().__init__(f"{bank}: {code}", code=code)


class PlainCard(DoNotRetry):
    def __init__(self, bank: str, code: int) -> None:
        self.code = code


class BankBusy(RetryAfter):
    """The bank is busy: {code}, for {delay} s."""


class Unprintable:
    def __format__(self, spec: str) -> str:
        raise RuntimeError("no")


def same(error: CnstraError) -> CnstraError:
    return error


def pickled(error: CnstraError) -> CnstraError:
    loaded = pickle.loads(pickle.dumps(error))
    assert isinstance(loaded, CnstraError)
    return loaded


WAYS = pytest.mark.parametrize("way", [same, pickled, copy.copy])
Way = Callable[[CnstraError], CnstraError]


def test_an_error_of_the_users_own_may_word_itself_as_ours_do() -> None:
    error = CardRefused(code=402)

    assert str(error) == "The bank said 402."
    assert error.context == {"code": 402}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (CardRefused, "The bank said {code}."),
        (lambda: CardRefused(code=Unprintable()), "The bank said {code}."),
        (BadTemplate, 'Sent as {"code": 402}, {0} or {'),
        (lambda: BankBusy(5), "The bank is busy: {code}, for {delay} s."),
    ],
)
def test_a_docstring_that_cannot_be_filled_in_is_the_message_as_it_stands(
    make: Callable[[], CnstraError], message: str
) -> None:
    assert str(make()) == message


@WAYS
def test_an_error_takes_as_many_arguments_as_any_exception(way: Way) -> None:
    error = way(CardRefused("refused", 402))

    assert error.args == ("refused", 402)
    assert str(error) == "('refused', 402)"


@WAYS
def test_a_message_need_not_be_a_text(way: Way) -> None:
    assert str(way(DoNotRetry(ValueError("410")))) == "410"


@WAYS
def test_retry_after_takes_more_than_its_delay(way: Way) -> None:
    error = way(BankBusy(timedelta(minutes=1), code=503))

    assert isinstance(error, BankBusy)
    assert error.delay == 60
    assert str(error) == "The bank is busy: 503, for 60.0 s."
    assert way(RetryAfter(2, "busy", 503)).args == ("busy", 503)


@WAYS
@pytest.mark.parametrize(
    ("kind", "message"), [(OddCard, "ours: 402"), (PlainCard, "('ours', 402)")]
)
def test_an_error_with_a_constructor_of_its_own_stays_what_it_is(
    kind: type[OddCard | PlainCard], message: str, way: Way
) -> None:
    found = way(kind("ours", 402))

    assert type(found) is kind
    assert str(found) == message
    assert vars(found)["code"] == 402


@WAYS
@pytest.mark.parametrize(
    ("kind", "context"),
    [
        (UnknownNeuron, {"neuron": "clerk", "collateral": "order"}),
        (UnknownResource, {"resource": "bank", "known": "none"}),  # a KeyError too
        (DurationExceeded, {"neuron": "clerk", "limit": 1.0}),  # an OSError
        (MissingExtra, {"what": "amqp://", "extra": "rabbitmq", "reason": "gone"}),  # ImportError
    ],
)
def test_our_errors_stay_what_they_are_in_another_process(
    kind: type[CnstraError], context: dict[str, object], way: Way
) -> None:
    error = kind(**context)

    found = way(error)

    assert type(found) is kind
    assert str(found) == str(error)
    assert found.context == error.context
    assert vars(found) == vars(error)
