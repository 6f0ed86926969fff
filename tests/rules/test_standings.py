"""What a program remembers of callers never changes what it decides on them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from waystone_asgi.records import Source
from waystone_asgi.rules import Program, Rule, Ruleset
from waystone_asgi.rules.standings import LONGEST, REMEMBERED
from waystone_asgi.types import Layers

from .requests import NOW, program, pure, subject

DAY = 86_400
LIMITS = [
    Rule(usage={"requests": 5, "per": "day", "of": "user"}, block="no"),
    Rule(usage={"tokens": 5, "past": "1d", "of": "group"}, tag="tokens"),
]
RULESETS = [
    Ruleset(name="pro", condition={"metadata": "tier", "equals": "pro"}, rules=[Rule(tag="pro")]),
    Ruleset(
        name="new", condition={"metadata": "since", "newer_than": "1d"}, rules=[Rule(tag="new")]
    ),
    Ruleset(
        name="old", condition={"metadata": "since", "older_than": "2d"}, rules=[Rule(tag="old")]
    ),
    Ruleset(
        name="key", condition={"is_user": True, "source": "key"}, rules=[Rule(tag="key"), *LIMITS]
    ),
    Ruleset(name="us", condition={"is_principal": "us"}, rules=[Rule(tag="us")]),
]
PRO: Layers = {"claimed": {"tier": "pro"}}
FREE: Layers = {"claimed": {"tier": "free", "since": NOW}}


def tags(rules: Program, layers: Layers, *, user: str = "ann", now: float = NOW) -> tuple[str, ...]:
    return rules.evaluate(subject(user=user, user_metadata=layers, now=now)).tags


ids = st.sampled_from([None, "ann", "bob"])


@pure
@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "user": ids,
                "group": ids,
                "source": st.sampled_from(["host", "key", "claimed"]),
                "user_metadata": st.sampled_from([None, PRO, FREE]),
                "group_metadata": st.sampled_from([None, PRO, FREE]),
                "principal": st.sampled_from(["us", "them"]),
                "now": st.sampled_from([NOW - DAY, NOW, NOW + DAY, NOW + 3 * DAY]),
                "tokens": st.tuples(st.integers(0, 9), st.none() | st.integers(0, 9)),
            }
        ),
        max_size=12,
    )
)
def test_decisions_do_not_depend_on_what_was_asked_before(asked: list[dict[str, object]]) -> None:
    rules = program(*RULESETS)
    for each in asked:
        one = subject(**each)  # type: ignore[arg-type]
        assert rules.evaluate(one) == program(*RULESETS).evaluate(one)


def test_metadata_that_has_changed() -> None:
    rules = program(*RULESETS)
    assert [tags(rules, layers) for layers in (PRO, FREE, {}, PRO)] == [
        ("pro",),
        ("new",),
        (),
        ("pro",),
    ]


def test_time_goes_by() -> None:
    rules = program(*RULESETS)
    times = (NOW, NOW + DAY, NOW + 2 * DAY, NOW)
    assert [tags(rules, FREE, now=now) for now in times] == [("new",), (), ("old",), ("new",)]


def test_a_caller_who_comes_again_is_known() -> None:
    rules = program(*RULESETS)
    first = rules._standings.of(subject(user="ann", user_metadata=FREE))
    assert rules._standings.of(subject(user="ann", user_metadata=FREE)) is first
    later = rules._standings.of(subject(user="ann", user_metadata=FREE, now=NOW + DAY))
    assert (first.held[1], later.held[1]) == (True, False)
    assert rules._standings.of(subject(user="ann", user_metadata=FREE, now=NOW + DAY)) is later
    untimed = program(RULESETS[0])
    known = untimed._standings.of(subject(user="ann", user_metadata=PRO))
    assert untimed._standings.of(subject(user="ann", user_metadata=PRO)) is known


def test_sources_are_told_apart() -> None:
    rules = program(*RULESETS)
    sources: tuple[Source, ...] = ("key", "claimed", "key")
    found = [rules.evaluate(subject(user="ann", source=source)).tags for source in sources]
    assert found == [("key",), (), ("key",)]


def test_only_so_many_are_remembered_and_none_with_much_metadata() -> None:
    rules = program(*RULESETS)
    known = rules._standings._known
    for number in range(REMEMBERED + 10):
        assert tags(rules, PRO, user=f"user {number}") == ("pro",)
    assert len(known) == 10
    long: Layers = {"claimed": {"tier": "pro", "about": "x" * LONGEST}}
    assert tags(rules, long, user="ann") == ("pro",)
    assert len(known) == 10


def test_a_caller_takes_room_for_some_models_only() -> None:
    rules = program(*RULESETS)
    for number in range(50):
        one = subject(f"gpu/model {number}", user="ann", source="key")
        assert len(rules.evaluate(one).charges) == 1
    [standing] = rules._standings._known.values()
    assert 1 <= len(standing.templates) <= 4
