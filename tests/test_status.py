"""Close codes: RFC 6455, section 7.4, against the registry of somebody else."""

from __future__ import annotations

import pytest
from websockets.frames import EXTERNAL_CLOSE_CODES
from websockets.frames import CloseCode as Registered

from rxecho import status
from rxecho.status import CloseCode


def test_every_registered_code_has_a_name() -> None:
    assert {int(code) for code in CloseCode} == {int(code) for code in Registered}


@pytest.mark.parametrize("code", CloseCode)
def test_every_name_is_a_constant_of_the_module(code: CloseCode) -> None:
    assert getattr(status, code.name) is code


def test_a_close_frame_may_carry_the_registered_codes_that_are_sent_and_3000_to_4999() -> None:
    allowed = {code for code in range(-1, 70_000) if status.is_valid(code)}
    assert allowed == {*map(int, EXTERNAL_CLOSE_CODES), *range(3000, 5000)}
    assert allowed == {*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)}


@pytest.mark.parametrize(
    ("code", "described"),
    [
        (1000, "1000 (normal closure)"),
        (CloseCode.GOING_AWAY, "1001 (going away)"),
        (1006, "1006 (abnormal closure)"),
        (1004, "1004"),
        (4000, "4000"),
        (0, "0"),
    ],
)
def test_describe_adds_the_name_where_there_is_one(code: int, described: str) -> None:
    assert status.describe(code) == described
