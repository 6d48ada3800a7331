"""AsyncSnapshot and ConnectionState."""

from __future__ import annotations

import traceback
from dataclasses import FrozenInstanceError
from typing import assert_type

import pytest

from rxecho import AsyncSnapshot, ConnectionState


def a_raised_error() -> ValueError:
    try:
        int("nonsense")
    except ValueError as error:
        return error
    raise AssertionError


def test_the_connection_states_are_flutters() -> None:
    assert [state.name for state in ConnectionState] == ["NONE", "WAITING", "ACTIVE", "DONE"]


def test_nothing_has_no_stream_no_data_and_no_error() -> None:
    assert AsyncSnapshot[str].nothing() == AsyncSnapshot(ConnectionState.NONE, None, None)


def test_waiting_has_no_data_and_no_error() -> None:
    assert AsyncSnapshot[str].waiting() == AsyncSnapshot(ConnectionState.WAITING, None, None)


def test_with_data_has_data_and_no_error() -> None:
    snapshot = AsyncSnapshot.with_data(ConnectionState.ACTIVE, "Hello!")
    assert snapshot.connection_state is ConnectionState.ACTIVE
    assert (snapshot.data, snapshot.has_data) == ("Hello!", True)
    assert (snapshot.error, snapshot.has_error) == (None, False)


def test_with_error_has_an_error_and_no_data() -> None:
    error = OSError("gone")
    snapshot = AsyncSnapshot[str].with_error(ConnectionState.DONE, error)
    assert snapshot.connection_state is ConnectionState.DONE
    assert (snapshot.data, snapshot.has_data) == (None, False)
    assert (snapshot.error, snapshot.has_error) == (error, True)


@pytest.mark.parametrize("empty", ["", b"", 0, False, 0.0, ()])
def test_an_empty_value_is_data(empty: object) -> None:
    snapshot = AsyncSnapshot.with_data(ConnectionState.ACTIVE, empty)
    assert snapshot.has_data
    assert snapshot.require_data is empty


def test_none_is_no_data_as_in_flutter() -> None:
    snapshot = AsyncSnapshot.with_data(ConnectionState.ACTIVE, None)
    assert not snapshot.has_data
    with pytest.raises(LookupError):
        _ = snapshot.require_data


@pytest.mark.parametrize("state", ConnectionState)
def test_in_state_keeps_the_data(state: ConnectionState) -> None:
    snapshot = AsyncSnapshot.with_data(ConnectionState.ACTIVE, "Hello!").in_state(state)
    assert snapshot == AsyncSnapshot.with_data(state, "Hello!")


def test_in_state_keeps_the_error() -> None:
    error = OSError("gone")
    snapshot = AsyncSnapshot[str].with_error(ConnectionState.ACTIVE, error).in_state(ConnectionState.DONE)
    assert snapshot == AsyncSnapshot.with_error(ConnectionState.DONE, error)


def test_require_data_raises_the_error() -> None:
    error = OSError("gone")
    with pytest.raises(OSError, match="gone") as caught:
        _ = AsyncSnapshot[str].with_error(ConnectionState.DONE, error).require_data
    assert caught.value is error


def test_require_data_says_where_the_error_came_from_and_does_not_grow_it() -> None:
    snapshot = AsyncSnapshot[str].with_error(ConnectionState.ACTIVE, a_raised_error())
    depths = set()
    for _ in range(3):
        with pytest.raises(ValueError, match="nonsense") as caught:
            _ = snapshot.in_state(ConnectionState.DONE).require_data
        frames = traceback.extract_tb(caught.value.__traceback__)
        assert frames[-1].name == "a_raised_error"
        depths.add(len(frames))
    assert len(depths) == 1


@pytest.mark.parametrize("snapshot", [AsyncSnapshot[str].nothing(), AsyncSnapshot[str].waiting()])
def test_require_data_raises_lookup_error_when_there_is_neither(snapshot: AsyncSnapshot[str]) -> None:
    with pytest.raises(LookupError, match=r"neither data nor error"):
        _ = snapshot.require_data


def test_a_snapshot_is_frozen() -> None:
    snapshot = AsyncSnapshot.with_data(ConnectionState.ACTIVE, "Hello!")
    with pytest.raises(FrozenInstanceError):
        snapshot.data = "Bye!"  # type: ignore[misc]


def test_snapshots_are_equal_when_state_data_and_error_are() -> None:
    active, done = ConnectionState.ACTIVE, ConnectionState.DONE
    error = OSError("gone")
    assert AsyncSnapshot.with_data(active, "a") == AsyncSnapshot.with_data(active, "a")
    assert hash(AsyncSnapshot.with_data(active, "a")) == hash(AsyncSnapshot.with_data(active, "a"))
    assert AsyncSnapshot.with_data(active, "a") != AsyncSnapshot.with_data(active, "b")
    assert AsyncSnapshot.with_data(active, "a") != AsyncSnapshot.with_data(done, "a")
    assert AsyncSnapshot[str].with_error(done, error) == AsyncSnapshot[str].with_error(done, error)
    assert AsyncSnapshot[str].with_error(done, error) != AsyncSnapshot[str].with_error(done, OSError("gone"))


def test_the_repr_is_python_and_shows_only_what_there_is() -> None:
    shown = {
        "AsyncSnapshot(ConnectionState.NONE)": AsyncSnapshot[str].nothing(),
        "AsyncSnapshot(ConnectionState.ACTIVE, data='Hello!')": AsyncSnapshot.with_data(
            ConnectionState.ACTIVE, "Hello!"
        ),
        "AsyncSnapshot(ConnectionState.DONE, error=OSError('gone'))": AsyncSnapshot[str].with_error(
            ConnectionState.DONE, OSError("gone")
        ),
    }
    assert [repr(snapshot) for snapshot in shown.values()] == list(shown)


def test_a_snapshot_can_be_matched() -> None:
    match AsyncSnapshot.with_data(ConnectionState.ACTIVE, "Hello!"):
        case AsyncSnapshot(ConnectionState.ACTIVE, data):
            assert data == "Hello!"
        case _:
            pytest.fail("did not match")


def test_the_types_follow_the_data() -> None:
    narrow = AsyncSnapshot.with_data(ConnectionState.ACTIVE, "Hello!")
    assert_type(narrow, AsyncSnapshot[str])
    assert_type(narrow.in_state(ConnectionState.DONE), AsyncSnapshot[str])
    assert_type(narrow.data, str | None)
    assert_type(narrow.require_data, str)
    wide: AsyncSnapshot[str | bytes] = narrow
    assert wide is narrow
