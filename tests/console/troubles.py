"""A shop of a few thousand events with every kind of trouble in it, and what ten customers write to its support."""

import concurrent.futures
import json

import story

# So many customers for whom all is well, with three events each.
WELL = 700


def event(event_id, event_type, days, of_order, email, **members):
    """One event as story.event() makes it; a member that is None is left out."""
    product = {"product": members.pop("product")} if isinstance(members.get("product"), str) else {}
    body = json.loads(story.event(event_id, event_type, days, of_order, email, **product))
    body["object"] = {name: value for name, value in {**body["object"], **members}.items() if value is not None}
    return json.dumps(body).encode()


def buy(order, email, days=5, product="Pro", **members):
    return event(f"evt_{order}", "checkout.completed", days, order, email, payment_id=f"pay_{order}", product=product,
                 order={"order_id": f"ORD_{order}", "amount": "49.00", "currency": "eur"}, **members)


def renew(order, email, days, until, number=1, **members):
    return story.paid(f"{order}_{number}", days, order, email, until, **members)


def well():
    for number in range(WELL):
        order, email = f"well_{number}", f"well{number}@example.com"
        yield renew(order, email, 70 + number % 7, 40 + number % 7)
        yield renew(order, email, 40 + number % 7, 10 + number % 7, 2)
        yield renew(order, email, 10 + number % 7, -20 + number % 7, 3)


def troubled():
    """The bodies of the ten, and of other troubles."""
    yield renew("late_payer", "late@example.com", 50, 20)
    yield buy("receipt", "receipt@example.com")
    yield renew("mover", "old.address@example.com", 40, 10)
    yield renew("mover", "new.address@example.com", 9, -21, 2)
    yield renew("declined", "declined@example.com", 41, 11)
    yield event("declined_f", "checkout.failed", 11, "declined", "declined@example.com", payment_id="pay_declined_f", subscription={"id": "sub_declined"})
    yield buy("fight", "fight@example.com", 20)
    yield event("fight_d", "checkout.cancel", 3, "fight", "fight@example.com", payment_id="pay_fight")
    yield buy("back", "back@example.com", 20)
    yield event("back_r", "refund.created", 6, "back", "back@example.com", payment_id="pay_back",
                order={"amount": "49.00", "currency": "eur", "refunded_amount": "49.00"}, refund={"amount": "49.00", "status": "refunded"})
    yield buy("wrong", "wrong@example.com", 2, product="Basic")
    yield buy("tryout", "tryout@example.com", 2, mode="test")
    for order in ("twice_a", "twice_b"):
        yield renew(order, "twice@example.com", 5, -25, customer={"id": "cus_twice", "email": "twice@example.com"})
    # Canceled with time left, a partial refund, events of unknown types and without an order.
    yield renew("leaver", "leaver@example.com", 10, -20)
    yield event("leaver_c", "subscription.canceled", 1, "leaver", "leaver@example.com", subscription={"id": "sub_leaver", "cancel_at_period_end": True})
    yield event("leaver_r", "refund.created", 2, "leaver", "leaver@example.com", payment_id="pay_leaver_1", refund={"amount": "2.00", "status": "partial_refund"})
    yield event("odd_type", "invoice.created", 1, "leaver", "leaver@example.com")
    yield event("no_order", "refund.created", 1, None, None, metadata=None, customer=None, product=None)


INVALID = b'{"event_id": "evt_broken", "event_type": "checkout.completed", "object": {"metadata": {"order_id": "broken"}, "customer": {"email": "broken@example.com"}}}'

SQL = (
    "SELECT bagelpay.expect_order('wrong', 'wrong@example.com', 'prod_pro_yearly', 49, 'EUR', 'live')",
    "SELECT bagelpay.expect_order('never_came', 'never@example.com', 'prod_pro', 49, 'EUR', 'live')",
    # As if each had come when it occurred; the broken one stays new.
    "UPDATE bagelpay.events SET received_at = occurred_at + interval '2 seconds' WHERE event_type NOT LIKE 'operator.%'",
)


def happen(stand):
    """Delivers all of it."""
    bodies = [*well(), *troubled()]
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        assert {answer.status for answer in pool.map(stand.deliver, bodies)} == {200}
    assert stand.deliver(INVALID).status == 400
    # Another event under an id that is taken.
    assert stand.deliver(renew("late_payer", "late@example.com", 50, 20, amount="99.00")).status == 200
    for statement in SQL:
        stand.query(statement)


# What each quotes; where to click, by the text of a link or a summary; what then says why, and what to do about it.
COMPLAINTS = {
    "a payment id": ("pay_late_payer_1", ["What you can do"], ["Found by payment pay_late_payer_1", "What was paid for ended on", "no later payment has come"],
                     "bagelpay.grant('late_payer', 'late@example.com', 'prod_notes'"),
    "an order number": ("„ORD_receipt“,", ["What you can do"], ["Found by BagelPay’s order number ORD_receipt", "Entitled", "receipt@example.com"], "bagelpay.revoke('receipt'"),
    "a former address": ("<old.address@example.com>", ["What you can do"], ["former e-mail address old.address@example.com, until", "It is paid for until", "new.address@example.com"],
                         "bagelpay.revoke('mover'"),
    "a failed renewal": ("mailto:declined@example.com", ["What you can do"], ["A charge has failed. What was paid for ended on"], "bagelpay.grant('declined'"),
    "a dispute": ("fight@example.com", ["fight"], ["The customer disputed the payment on"], "bagelpay.dispute_won('pay_fight', 'won', 'live', 'fight')"),
    "a refund": ("back@example.com", ["What you can do"], ["The money went back to the customer on"], "bagelpay.grant('back'"),
    "a wrong product": ("wrong@example.com", ["wrong@example.com"], ["Paid, but not as expected: product", "Basic"], "bagelpay.grant('wrong', 'wrong@example.com'"),
    "a test purchase": ("tryout@example.com", [], ["Entitled in test mode only", "it never entitles in live mode"], None),
    "a webhook that never came": ("never@example.com", [], ["Your application expected the order", "BagelPay’s webhook did not come"], "bagelhook-verify"),
    "a double subscription": ("twice@example.com", ["twice@example.com"], ["Two subscriptions at once", "The customer has 2 live subscriptions"], "bagelpay.explain("),
}
