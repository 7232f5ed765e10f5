"""Functions of the same code, and small dicts: the short ways give what the long ways do."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipegraph.invariants import alike
from pipegraph.invariants.findings import Followed
from pipegraph.invariants.functions import look_at_function
from pipegraph.invariants.parameters import _ParameterEncoder
from pipegraph.invariants.values import LONG_TEXT, flat_text, scalar_text

PLAIN = [0, 1, True, -5, 10**40, None, 1.5, float("nan"), -0.0, "", "abc", "\ud800", "x" * LONG_TEXT]
OTHERS: list[Any] = ["x" * (LONG_TEXT + 1), b"x", [1], (), {}, 1j, len, lambda: 3, object]

used = 1


def made_of(value: object, more: object = 2) -> list[Callable[..., object]]:
    def closes_over() -> object:
        return value, used

    def has_a_default(value: object = value, more: object = more) -> object:
        return value, more

    def has_both(value: object = value) -> object:
        return value, more

    def has_a_keyword(*, value: object = value) -> object:
        return value

    def has_less(given: object, value: object = value) -> object:
        return given, value

    def is_not_whole() -> object:
        return later

    if more:
        later = more
    functions: list[Callable[..., object]] = [closes_over, has_a_default, has_both, has_a_keyword, has_less]
    functions += [is_not_whole, lambda: (value, undefined)]  # type: ignore[name-defined]  # noqa: F821
    return functions + [each for function in functions for each in partials_of(function, value, more)]


def partials_of(function: Callable[..., object], *values: object) -> list[Callable[..., object]]:
    return [
        functools.partial(function),
        functools.partial(function, *values),
        functools.partial(function, *[values[0]] * 250),
        functools.partial(function, values[0], value=values[1], password=values[0]),
        functools.partial(function, **{f"name {number}": values[0] for number in range(30)}),
        functools.partial(functools.partial(function, values[0]), values[1]),
        functools.partial(functools.partial, function, values[0]),
        SubPartial(function, values[0]),
    ]


class SubPartial(functools.partial):  # type: ignore[type-arg]
    pass


@pytest.mark.parametrize("follow", [True, False])
def test_a_function_has_the_same_fingerprint_after_one_that_is_like_it_and_alone(follow: bool) -> None:
    together = Followed()
    for value in (*PLAIN, *OTHERS):
        for more in (2, None, "y"):
            for function in made_of(value, more):
                assert look_at_function(function, follow, together) == look_at_function(function, follow, Followed())


def explained(function: Callable[..., object], follow: bool, known: Followed) -> Any:
    look_at_function(function, follow, known)  # as a run does before it explains
    return look_at_function(function, follow, known, is_explained=True)


@pytest.mark.parametrize("follow", [True, False])
def test_a_function_is_explained_the_same_after_one_that_is_like_it_and_alone(follow: bool) -> None:
    together = Followed()
    for value in (*PLAIN, *OTHERS, {"k": 1}):
        for more in (2, None, "token=abc"):
            for function in made_of(value, more):
                assert explained(function, follow, together) == explained(function, follow, Followed())


def takes(*given: object, **named: object) -> object:
    return given, named, used


SOME = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.text(min_size=LONG_TEXT - 9, max_size=LONG_TEXT)
)


@given(st.lists(SOME, max_size=4), st.dictionaries(st.text(max_size=9), SOME, max_size=4), st.booleans())
def test_a_partial_is_seen_and_explained_the_same_after_one_that_is_like_it_and_alone(
    values: list[object], named: dict[str, object], follow: bool
) -> None:
    together = Followed()
    explained(functools.partial(takes, 1, name=2), follow, together)

    assert explained(functools.partial(takes, *values, **named), follow, together) == explained(
        functools.partial(takes, *values, **named), follow, Followed()
    )


def test_partials_that_are_alike_take_the_short_way(monkeypatch: pytest.MonkeyPatch) -> None:
    known = Followed()
    first, second = (functools.partial(takes, value, name="x") for value in (1, 2))
    seen = explained(first, True, known)
    monkeypatch.setattr("pipegraph.invariants.encoding.FunctionEncoder.encode_callback", None)

    assert explained(first, True, known) == seen
    assert explained(second, True, known).fingerprint != seen.fingerprint
    assert explained(second, True, known).explanation.parts[0].text == "2"
    with pytest.raises(TypeError):
        explained(takes, True, known)
    with pytest.raises(TypeError):
        explained(functools.partial(takes, [2]), True, known)


def test_secrets_of_functions_that_are_alike_are_hidden() -> None:
    def made(password: str) -> Callable[..., object]:
        return lambda: password

    known = Followed()
    first, second = (explained(made(value), True, known).explanation.parts[-1] for value in ("abc", "abd"))

    assert first.text == second.text == "(not shown)"
    assert first.digest != second.digest


def test_functions_that_are_alike_are_explained_by_the_short_way(monkeypatch: pytest.MonkeyPatch) -> None:
    known = Followed()
    explained(made_of(1)[0], True, known)
    monkeypatch.setattr("pipegraph.invariants.encoding.FunctionEncoder.encode_callback", None)

    assert explained(made_of(2)[0], True, known).explanation.parts[-1].text == "2"
    known.forget()
    with pytest.raises(TypeError):
        explained(made_of(2)[0], True, known)


def test_functions_that_are_alike_take_the_short_way() -> None:
    known = Followed()
    first, second = (made_of(value)[0] for value in (1, 2))

    assert alike.seen_before(second, True, known) is None
    seen = look_at_function(first, True, known)
    assert alike.seen_before(first, True, known) == seen
    assert alike.seen_before(second, True, known) not in (None, seen)
    assert alike.seen_before(second, False, known) is None


def test_what_wraps_another_function_is_not_like_one_that_does_not() -> None:
    known = Followed()
    first, second = (made_of(value)[0] for value in (1, 2))
    look_at_function(first, True, known)
    second.__wrapped__ = len  # type: ignore[attr-defined]

    assert alike.seen_before(second, True, known) is None


def test_what_is_found_for_one_is_told_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "used", object())
    known = Followed()
    first, second = (look_at_function(made_of(value)[0], True, known) for value in (1, 2))

    assert first.unwatched
    assert second.unwatched == first.unwatched


def test_functions_are_looked_at_anew_once_names_may_lead_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    known = Followed()
    function = made_of(1)[0]
    before = look_at_function(function, True, known)
    monkeypatch.setitem(globals(), "used", 2)
    known.forget()

    assert look_at_function(function, True, known) not in (before, None)


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(), st.lists(st.integers(), max_size=2)
)


@given(st.dictionaries(st.one_of(st.text(max_size=12), st.integers()), VALUES, max_size=25))
def test_a_flat_dict_has_the_text_that_an_encoder_gives_it(value: dict[object, object]) -> None:
    text = flat_text(value)

    assert text is None or text == _ParameterEncoder().encode(value)


@given(VALUES)
def test_a_plain_value_has_the_text_that_an_encoder_gives_it(value: object) -> None:
    text = scalar_text(value)

    assert text is None or text == _ParameterEncoder().encode(value)


def test_the_keys_of_a_flat_dict_have_no_order() -> None:
    assert flat_text({"k": 1, "kk": 2, "": 3}) == flat_text({"": 3, "kk": 2, "k": 1})


@pytest.mark.parametrize("value", [{"k": [1]}, {1: 2}, {"k": "x" * LONG_TEXT}, {str(i): i for i in range(50)}, [1], 1])
def test_what_is_not_flat_or_not_small_takes_the_long_way(value: object) -> None:
    assert flat_text(value) is None
