"""Choosing among equals: by weight and by latency, what follows, and who finds out what is new."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from random import Random

import pytest

from waystone_asgi import Alias, APIKey, BearerKeys, Gateway, Provider
from waystone_asgi.exceptions import UpstreamError
from waystone_asgi.records import Choice, Choose, Route, Target, Timeouts, UpstreamRequest
from waystone_asgi.routing import Health, Routing
from waystone_asgi.rules import Retry
from waystone_asgi.testing import FakeAnswer, FakeProvider, completion

from .asgi import KEY, request

ONE, TWO, THREE = (Target(provider=name, model="m") for name in ("one", "two", "three"))
ALL = (ONE, TWO, THREE)
PROVIDERS = {
    name: Provider.vllm(name=name, base_url=f"http://{name}.test/v1")
    for name in ("one", "two", "three")
}
GONE = UpstreamError("gone")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Requests:
    """What requests for one alias come to, one after the other."""

    def __init__(
        self,
        choose: Choose,
        *weights: float,
        members: tuple[Target | Choice, ...] = ALL,
        random: Callable[[], float] | None = None,
    ) -> None:
        self.clock = Clock()
        self.health = Health(now=self.clock)
        self.routing = Routing(
            PROVIDERS,
            Timeouts(),
            Retry(attempts=1),
            health=self.health,
            random=random or Random(7).random,
        )
        choice = Choice(choose=choose, members=members, weights=weights)
        self.route = Route(request_model="m", targets=ALL, choice=choice)

    def first(self, seconds: float | None = None) -> Target:
        """Whom the next request goes to; it is answered after so many seconds, or goes on."""
        attempts = self.routing.attempts(self.route)
        target = attempts.begin().target
        if seconds is not None:
            self.health.succeeded(target, seconds)
        return target

    def order(self) -> list[Target]:
        """All that the next request goes to when each of them fails."""
        attempts = self.routing.attempts(self.route)
        asked = []
        while True:
            tried = attempts.begin()
            asked.append(tried.target)
            tried.end("upstream_error")
            if attempts.failed(GONE) is None:
                return asked

    def know(self, **seconds: float) -> None:
        """What the targets took so far."""
        for name, latency in seconds.items():
            target = Target(provider=name, model="m")
            self.health.choose(target)
            self.health.succeeded(target, latency)


def test_by_weight() -> None:
    requests = Requests("weighted", 6.0, 3.0, 1.0)
    firsts = Counter(requests.first() for _ in range(10_000))
    for target, share in zip(ALL, (0.6, 0.3, 0.1), strict=True):
        assert firsts[target] / 10_000 == pytest.approx(share, abs=0.02)


def test_by_weight_what_follows_is_drawn_from_the_rest() -> None:
    requests = Requests("weighted", 6.0, 3.0, 1.0)
    seconds = Counter[Target]()
    for _ in range(10_000):
        attempts = requests.routing.attempts(requests.route)
        first, second, _ = attempts._targets
        if first == ONE:
            seconds[second] += 1
    assert seconds[TWO] / (seconds[TWO] + seconds[THREE]) == pytest.approx(0.75, abs=0.03)


@pytest.mark.parametrize("weight", [5e-324, 1e-9, 1e308])
@pytest.mark.parametrize("number", [0.0, 0.5, 1.0 - 2**-53])
def test_any_weight_will_do(weight: float, number: float) -> None:
    requests = Requests("weighted", weight, weight, 1.0, random=lambda: number)
    assert sorted(requests.order(), key=ALL.index) == list(ALL)


def test_by_latency() -> None:
    requests = Requests("least_latency")
    requests.know(one=0.3, two=0.1, three=0.2)
    assert requests.order() == [TWO, THREE, ONE]
    for _ in range(20):
        requests.health.succeeded(TWO, 0.9)
    assert requests.order() == [THREE, ONE, TWO]


def test_each_one_that_is_unknown_is_tried_once() -> None:
    requests = Requests("least_latency")
    requests.know(two=0.1)
    firsts = [requests.first() for _ in range(50)]
    assert set(firsts[:2]) == {ONE, THREE}
    # They have not answered yet, and nobody else waits for them.
    assert set(firsts[2:]) == {TWO}
    requests.health.succeeded(ONE, 0.05)
    assert requests.first() == ONE
    # Three never answered: after a minute another request asks.
    requests.clock.now += 61
    requests.health.succeeded(ONE, 0.05)
    assert requests.first() == THREE
    assert requests.first() == ONE


def test_while_nothing_is_known_requests_are_spread() -> None:
    requests = Requests("least_latency")
    firsts = [requests.first() for _ in range(300)]
    assert set(firsts[:3]) == set(ALL)
    assert min(Counter(firsts).values()) > 60


def test_a_slow_one_may_have_become_faster() -> None:
    requests = Requests("least_latency")
    requests.know(one=0.1, two=9.0, three=9.0)
    assert {requests.first(0.1) for _ in range(200)} == {ONE}
    requests.clock.now += 61
    firsts = [requests.first(0.1) for _ in range(200)]
    # Each is asked by one request, and what that finds counts for more than what was known.
    assert requests.health.latency(TWO) == requests.health.latency(THREE) == pytest.approx(0.1)
    assert firsts[:3].count(ONE) >= 1


def test_where_requests_are_rare_the_fastest_gets_them_too() -> None:
    requests = Requests("least_latency")
    requests.know(one=0.1, two=9.0, three=9.0)
    firsts = Counter[Target]()
    for _ in range(400):
        requests.clock.now += 120
        target = requests.first()
        firsts[target] += 1
        requests.health.succeeded(target, 0.1 if target == ONE else 9.0)
    assert firsts[ONE] > 320


@pytest.mark.parametrize(
    ("choose", "weights"), [("weighted", (1000.0, 1.0, 1.0)), ("least_latency", ())]
)
def test_one_that_rests_is_the_last(choose: Choose, weights: tuple[float, ...]) -> None:
    requests = Requests(choose, *weights)
    requests.know(one=0.001, two=0.1, three=0.2)
    for _ in range(5):
        requests.health.failed(ONE)
    assert requests.order()[-1] == ONE
    # It is asked all the same when nothing else is left.
    for target in (TWO, THREE):
        for _ in range(5):
            requests.health.failed(target)
    assert requests.first() in ALL
    requests.clock.now += 30
    # Then one request tries it, and others do not wait for that.
    firsts = [requests.first() for _ in range(3)]
    assert sorted(firsts, key=ALL.index) == list(ALL)


def test_a_choice_in_a_choice() -> None:
    inner = Choice(choose="weighted", members=(ONE, TWO), weights=(1.0, 1.0))
    requests = Requests("order", members=(inner, THREE, ONE))
    orders = {tuple(requests.order()) for _ in range(2)} | {
        tuple(requests.routing.attempts(requests.route)._targets) for _ in range(50)
    }
    assert {order for order in orders if len(order) == 3} == {(ONE, TWO, THREE), (TWO, ONE, THREE)}


def test_what_a_rule_falls_back_on_follows_all_equals() -> None:
    requests = Requests("weighted", 1.0, 1.0, members=(ONE, TWO))
    attempts = requests.routing.attempts(requests.route, fallback=(ONE, THREE))
    assert len(attempts._targets) == 3
    assert attempts._targets[-1] == THREE


@pytest.mark.anyio
async def test_a_rule_may_lead_to_a_choice_and_a_key_chooses_among_its_own() -> None:
    asked: list[str] = []

    class Hosts(FakeProvider):
        async def send(self, request: UpstreamRequest) -> FakeAnswer:
            asked.append(request.endpoint.host)
            return await super().send(request)

    keys = [APIKey(key=KEY), APIKey(key="wk_two", models=("two/*", "plain/*"))]
    gateway = Gateway(
        providers=[*PROVIDERS.values(), Provider.vllm(name="plain", base_url="http://plain.test")],
        aliases={
            "fair": {"models": ["one/m", "two/m"], "choose": "weighted", "weights": [1e9, 1]},
            "quick": Alias(models=["two/m", "three/m"], choose="least_latency"),
        },
        authenticate=BearerKeys(keys),
        upstream=Hosts(completion("Hi")),
        rulesets=[
            {
                "name": "elsewhere",
                "condition": "always",
                "rules": [{"model": "plain/m", "change_model_to": "quick"}],
            }
        ],
    )
    document = {"messages": [{"role": "user", "content": "x"}]}
    async with gateway.running():
        for key in (KEY, "wk_two"):
            body = document | {"model": "fair"}
            answer = await request(gateway, "/v1/chat/completions", body, key=key)
            assert answer.status == 200
        assert asked == ["one.test", "two.test"]
        for _ in range(2):
            body = document | {"model": "plain/m"}
            await request(gateway, "/v1/chat/completions", body)
    # Two is known from before, three has to be found out about.
    assert asked[2] == "three.test"
    assert "plain.test" not in asked


def test_one_that_is_not_waited_for_is_known_to_be_slow() -> None:
    health = Health(now=Clock())
    health.outlasted(ONE, 2.0)
    assert health.latency(ONE) == 2.0
    health.outlasted(ONE, 1.0)
    assert health.latency(ONE) == 2.0
    health.outlasted(ONE, 4.0)
    assert health.latency(ONE) == pytest.approx(2.4)
