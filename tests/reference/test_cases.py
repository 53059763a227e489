"""Stories with questions and answers, tests/cases/*.json, whatever the order of arrival."""

import json
import random
from datetime import datetime
from pathlib import Path

import pytest

from .entitle import entitlements_at, is_of
from .extract import parse
from .fold import fold
from .settings import Settings
from .times import UTC

CASES = [case for path in sorted((Path(__file__).parents[1] / "cases").glob("*.json"))
         for case in json.loads(path.read_text())]


def answers(rows, ask):
    """The rows that a question is about."""
    return [row for row in rows
            if row["product_id"] == ask.get("product", row["product_id"])
            and row["order_id"] == ask.get("order", row["order_id"])
            and ("customer" not in ask or is_of(row, ask["customer"]))]


def moment(at):
    """The moment of a question: UTC midnight when it is only a date."""
    return datetime.fromisoformat(at).replace(tzinfo=UTC)


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_case(case):
    chance = random.Random(case["name"])
    events = [parse(json.dumps(body).encode()) for body in case["events"]]
    for _ in range(5):
        chance.shuffle(events)
        states = fold(events, Settings())
        for ask in case["ask"]:
            rows = answers(entitlements_at(states, {}, Settings(), moment(ask["at"]), ask["mode"]),
                           ask)
            assert any(row["entitled"] for row in rows) == ask["entitled"], ask
            if "reason" in ask:
                assert ask["reason"] in [row["reason"] for row in rows], ask


def test_names():
    names = [case["name"] for case in CASES]
    assert len(names) == len(set(names))
