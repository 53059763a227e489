"""The stories of tests/cases, delivered in several orders of arrival: what SQL answers to their questions."""

import json
import random

import pytest

import bodies
import harness

CASES = [case for path in sorted((harness.SOURCE / "tests" / "cases").glob("*.json")) for case in json.loads(path.read_text())]
# Random ones by their seed.
ARRIVALS = ("in order", "reversed", 1, 2, 3)


def forms(body):
    """Bytes of one content: as it is, with the end of a line, indented."""
    return [json.dumps(body).encode(), json.dumps(body).encode() + b"\n", json.dumps(body, indent=2).encode()]


def deliveries(arrival):
    """All events of all cases, mixed, each delivered once to three times; of several forms, any may be the first."""
    chance = random.Random(str(arrival))
    sent = [body for case in CASES for event in case["events"] for body in chance.sample(forms(event), chance.randint(1, 3))]
    if isinstance(arrival, int):
        chance.shuffle(sent)
    return sent[::-1] if arrival == "reversed" else sent


@pytest.fixture(scope="module", params=ARRIVALS, ids=str)
def database(request, cluster):
    """A connection to a database that has received all cases."""
    with harness.Stack(cluster) as stack:
        seen = set()
        for body in deliveries(request.param):
            answer = stack.deliver(body)
            outcome = "duplicate" if bodies.event_id(body) in seen else "applied"
            assert answer.status == 200 and answer.json["outcome"] == outcome, (body, answer)
            seen.add(bodies.event_id(body))
        assert stack.query("SELECT reason, detail FROM bagelpay.dead_letters") == []
        with stack.connect() as connection:
            connection.execute("SET timezone = 'UTC'")
            # Or each question would be planned anew, which takes much longer than its answer.
            connection.execute("SET plan_cache_mode = force_generic_plan")
            yield connection
        assert stack.responder.stop() == 0


def email_of(case, customer):
    """The e-mail that stands for a customer throughout a case; None if there is none, or not one only."""
    pairs = {(who.get("id"), who.get("email")) for event in case["events"] for who in [event["object"].get("customer") or {}]}
    emails = {email for one, email in pairs if one == customer}
    others = {email for one, email in pairs if one != customer}
    return emails.pop() if len(emails) == 1 and not emails & others else None


# How an item is found by what a question names.
FOUND_BY = {"customer": "(customer_id = %(customer)s OR customer_email = lower(%(customer)s))", "user": "user_id = %(user)s",
            "order": "order_id = %(order)s"}


def items(connection, ask):
    """Of the items that a question is about: entitled, reason."""
    found_by = " AND ".join(condition for key, condition in FOUND_BY.items() if key in ask)
    return connection.execute("SELECT entitled, reason FROM bagelpay.entitlements_at(%(at)s::timestamptz, %(mode)s)"
                              f" WHERE {found_by} AND product_id = %(product)s", ask, prepare=True).fetchall()


def is_entitled(connection, function, who, ask):
    (answer,), = connection.execute(f"SELECT bagelpay.{function}(%s, %s, %s, %s::timestamptz)",
                                    (who, ask["product"], ask["mode"], ask["at"]), prepare=True).fetchall()
    return answer


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_case(database, case):
    """Each question has the answer that the case gives, by each way to ask it."""
    for ask in case["ask"]:
        found = items(database, ask)
        answers = {"entitlements_at": any(entitled for entitled, _ in found)}
        if "customer" in ask:
            for customer in filter(None, (ask["customer"], email_of(case, ask["customer"]))):
                answers[customer] = is_entitled(database, "is_entitled", customer, ask)
        if "user" in ask:
            answers[ask["user"]] = is_entitled(database, "is_user_entitled", ask["user"], ask)
        assert answers == dict.fromkeys(answers, ask["entitled"]), (case["title"], ask, found)
        if "reason" in ask:
            assert (ask["entitled"], ask["reason"]) in found, (case["title"], ask, found)
