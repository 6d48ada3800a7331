"""The tree of errors."""

from __future__ import annotations

import pickle

import pytest

from rxecho import errors

EVERY_ERROR = [getattr(errors, name) for name in errors.__all__]


@pytest.mark.parametrize("error", EVERY_ERROR)
def test_every_error_is_a_channel_error(error: type[Exception]) -> None:
    assert issubclass(error, errors.ChannelError)


@pytest.mark.parametrize("error", EVERY_ERROR)
def test_every_error_says_what_it_was_given(error: type[Exception]) -> None:
    assert str(error("no such host")) == "no such host"


@pytest.mark.parametrize("error", EVERY_ERROR)
def test_every_error_can_be_sent_to_another_process(error: type[Exception]) -> None:
    copied = pickle.loads(pickle.dumps(error("no such host")))
    assert (type(copied), copied.args) == (error, ("no such host",))


def test_a_connect_timeout_is_a_connect_error_and_a_timeout_error() -> None:
    assert issubclass(errors.ConnectTimeout, errors.ConnectError)
    assert issubclass(errors.ConnectTimeout, TimeoutError)
    assert errors.ConnectTimeout("too late").status is None


def test_a_connect_error_knows_the_http_status_if_there_was_one() -> None:
    assert errors.ConnectError("no WebSocket here", status=404).status == 404
    assert errors.ConnectError("no such host").status is None


def test_the_status_survives_pickling() -> None:
    assert pickle.loads(pickle.dumps(errors.ConnectError("no WebSocket here", status=404))).status == 404
