"""What happens to customers: the bodies of whole stories, relative to now."""

import datetime
import json

HOSTILE = {
    "markup": "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>",
    "turned": "ann\u202emoc.elpmaxe@nna\u2066",
    "long": "x" * 250,
}


# One for all, so that the same days are the same moment.
NOW = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)


def at(days):
    """A moment so many days ago, as the provider writes it."""
    moment = NOW - datetime.timedelta(days=days)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def event(event_id, event_type, days, order_id, email, mode="live", product="Field notes, monthly", **members):
    """The bytes of one event that happened some days ago."""
    content = {"mode": mode, "metadata": {"order_id": order_id}, "customer": {"id": f"cus_{order_id}", "email": email},
               "product": {"product_id": "prod_notes", "name": product,
                           "billing_type": "single_payment" if event_type == "checkout.completed" else "subscription"},
               **members}
    return json.dumps({"event_id": event_id, "event_type": event_type, "created_at": at(days), "object": content}).encode()


def paid(event_id, days, order_id, email, until, amount="12.00", **more):
    """A subscription's payment, which pays until so many days ago (negative: from now)."""
    return event(event_id, "subscription.paid", days, order_id, email, payment_id=f"pay_{event_id}",
                 order={"amount": amount, "currency": "eur"},
                 subscription={"id": f"sub_{order_id}", "recurring_interval": "monthly", "billing_period_start": at(days),
                               "billing_period_end": at(until), "payment_method": "card", "last4": "4242"}, **more)


def renewals(order, email):
    """A trial, three payments, the second of which comes late, a failed charge between them, and a month left."""
    return [
        event(f"{order}_1", "subscription.trialing", 78, order, email,
              subscription={"id": f"sub_{order}", "trial_start": at(78), "trial_end": at(71), "recurring_interval": "monthly"}),
        paid(f"{order}_2", 71, order, email, 41),
        event(f"{order}_4", "checkout.failed", 41.5, order, email, payment_id=f"pay_{order}_3"),
        paid(f"{order}_5", 11, order, email, -19),
        paid(f"{order}_3", 41, order, email, 11),
    ]


def refunded(order, email):
    """A one-time purchase whose money went back."""
    money = {"amount": "49.00", "currency": "eur"}
    return [
        event(f"{order}_1", "checkout.completed", 20, order, email, product="Atlas of bagels", payment_id=f"pay_{order}", order=money),
        event(f"{order}_2", "refund.created", 6, order, email, product="Atlas of bagels", payment_id=f"pay_{order}",
              order={**money, "refunded_amount": "49.00"}, refund={"amount": "49.00", "status": "refunded"}),
    ]


def expired(order, email):
    """A subscription that nobody renewed."""
    return [paid(f"{order}_1", 50, order, email, 20)]


def hostile():
    """An order of which every name is an attack on whoever looks."""
    body = event("evt_" + HOSTILE["markup"], "checkout.completed", 1, "order_" + HOSTILE["markup"], HOSTILE["turned"],
                 product=HOSTILE["markup"], payment_id=HOSTILE["long"], order={"amount": "1", "currency": "eur"},
                 extra={HOSTILE["markup"]: HOSTILE["turned"], "more": "@digits@"})
    # Not as json.dumps() has it, which escapes what is not ASCII.
    return json.dumps(json.loads(body), ensure_ascii=False).replace('"@digits@"', "1.10").encode()
