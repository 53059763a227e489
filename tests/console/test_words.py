"""What the page says of who is entitled, against what SQL says: a table of lives, all of one customer."""

import contextlib
import json
import re

import pytest

import story
from browser import Browser, By

CUSTOMER = "lives@example.com"


def event(life, number, event_type, days, **members):
    """One event of the order, and for the product, that have the life's name."""
    made = json.loads(story.event(f"{life}_{number}", event_type, days, life, CUSTOMER, **members))
    made["object"]["product"]["product_id"] = life
    made["object"]["customer"]["id"] = members.get("customer_id", "cus_lives")
    made["object"]["product"]["billing_type"] = "subscription" if "subscription" in members else "single_payment"
    return json.dumps(made).encode()


def bought(life, days=20, amount="49.00"):
    return event(life, 1, "checkout.completed", days, payment_id=f"pay_{life}", order={"amount": amount, "currency": "eur"})


def refund(life, days, amount, status, number=9):
    return event(life, number, "refund.created", days, payment_id=f"pay_{life}", refund={"id": f"ref_{life}_{number}", "amount": amount, "status": status})


def dispute(life, days):
    return event(life, 9, "checkout.cancel", days, payment_id=f"pay_{life}")


def paid(life, days, until, number=1):
    return event(life, number, "subscription.paid", days, payment_id=f"pay_{life}" if number == 1 else f"pay_{life}_{number}", order={"amount": "12.00", "currency": "eur"},
                 subscription={"recurring_interval": "monthly", "billing_period_end": story.at(until)})


def trial(life, days, end):
    return event(life, 1, "subscription.trialing", days, subscription={} if end is None else {"trial_end": story.at(end)})


def canceled(life, days, at_period_end=False, cancel_at=None):
    members = {"cancel_at_period_end": at_period_end}
    if cancel_at is not None:
        members["cancel_at"] = story.at(cancel_at)
    return event(life, 8, "subscription.canceled", days, subscription=members)


def failed(life, days):
    return event(life, 7, "checkout.failed", days, payment_id=f"pay_{life}_failed", subscription={})


def grant(life, until="NULL"):
    return f"SELECT bagelpay.grant('{life}', '{CUSTOMER}', '{life}', {until})"


def expect(life, **other):
    """The sale as it comes about, but for what is given."""
    wanted = {"email": CUSTOMER, "product": life, "amount": "49", "currency": "EUR", "mode": "live", **other}
    return (f"SELECT bagelpay.expect_order('{life}', '{wanted['email']}', '{wanted['product']}', {wanted['amount']}, "
            f"'{wanted['currency']}', '{wanted['mode']}')")


# By settings that differ from the usual, and name: what happened (bodies, and an operator's or application's SQL), whether
# that entitles, and what is said. {n}: the moment n days ago; {-n}: in n days.
LIVES = {
    None: {
        "bought": ([bought("bought")], True, "It was bought and paid for; a purchase has no end. Since {20}, without end."),
        "subscribed": ([paid("subscribed", 10, -20)], True, "It is paid for until {-20}. Since {10}, until {-21}, grace period included."),
        "in_grace": ([paid("in_grace", 31, .5)], True, "What was paid for ended on {.5}, and no later payment has come, but the grace "
                     "period lasts until {-.5}. Since {31}, until {-.5}, grace period included."),
        "expired": ([paid("expired", 50, 20)], False, "What was paid for ended on {20}, and no later payment has come. "
                    "It lasted from {50} until {19}, grace period included."),
        "trial": ([trial("trial", 3, -4)], True, "The trial runs until {-4}. Since {3}, until {-5}, grace period included."),
        "trial_without_end": ([trial("trial_without_end", 3, None)], True, "The trial runs until {-28}."),
        "trial_in_grace": ([trial("trial_in_grace", 7.5, .5)], True, "The trial ended on {.5}, and no payment has come, but the grace "
                           "period lasts until {-.5}."),
        "trial_over": ([trial("trial_over", 30, 23)], False, "The trial ended on {23}, and no payment has come. "
                       "It lasted from {30} until {22}, grace period included."),
        "canceled_at_once": ([paid("canceled_at_once", 10, -20), canceled("canceled_at_once", 1)], False, "It was canceled, which by "
                             "the settings ended it on {1}, although it was paid for until {-20}. It lasted from {10} until {1}."),
        "canceled_at_end": ([paid("canceled_at_end", 10, -20), canceled("canceled_at_end", 1, True)], True,
                            "It is canceled, but what was paid for lasts until {-20}. Since {10}, until {-20}."),
        "canceled_and_over": ([paid("canceled_and_over", 50, 20), canceled("canceled_and_over", 25, True)], False,
                              "It was canceled, and what was paid for ended on {20}. It lasted from {50} until {20}."),
        "canceled_for_later": ([paid("canceled_for_later", 10, -20), canceled("canceled_for_later", 1, cancel_at=-5)], True,
                               "It is canceled, and ends on {-5}. Since {10}, until {-5}."),
        "canceled_after_it": ([paid("canceled_after_it", 50, 20), canceled("canceled_after_it", 19)], False,
                              "It was canceled, and ended on {19}."),
        "trial_canceled_at_end": ([trial("trial_canceled_at_end", 3, -4), canceled("trial_canceled_at_end", 1, True)], True,
                                  "The trial is canceled, but runs to its end on {-4}. Since {3}, until {-4}."),
        "trial_canceled_at_once": ([trial("trial_canceled_at_once", 3, -4), canceled("trial_canceled_at_once", 1)], False,
                                   "The trial was canceled, which ended it on {1}; it would have run until {-4}."),
        "trial_canceled_and_over": ([trial("trial_canceled_and_over", 10, 5), canceled("trial_canceled_and_over", 8, True)], False,
                                    "The trial was canceled, and ended on {5}."),
        "checkout_closed": ([event("checkout_closed", 1, "checkout.cancel", 2)], False,
                            "The checkout was canceled, and nothing has been paid."),
        "never_began": ([canceled("never_began", 2)], False, "No payment and no trial have come so far."),
        "free": ([event("free", 1, "checkout.completed", 2, order={"amount": "0"}, subscription={"units": 1})], True, "It is paid for until {-29}."),
        "gap": ([paid("gap", 100, 70), paid("gap", 10, -20, 2)], True, "It is paid for until {-20}. Since {10}, until {-21}, grace period included."),
        "not_yet": ([paid("not_yet", -1, -31)], False, "It begins later. It begins on {-1} and ends on {-32}."),
        "failed": ([event("failed", 1, "checkout.failed", 2, payment_id="pay_failed")], False,
                   "The payment has failed, and no other has succeeded."),
        "renewal_failed": ([paid("renewal_failed", 29, -2), failed("renewal_failed", 1)], True,
                           "A charge has failed. It is paid for until {-2}. Since {29}, until {-3}, grace period included."),
        "renewal_failed_in_grace": ([paid("renewal_failed_in_grace", 31, .5), failed("renewal_failed_in_grace", .5)], True,
                                    "A charge has failed. What was paid for ended on {.5}, and no later payment has come, but the grace period lasts until {-.5}."),
        "renewal_failed_and_over": ([paid("renewal_failed_and_over", 41, 11), failed("renewal_failed_and_over", 11)], False,
                                    "A charge has failed. What was paid for ended on {11}, and no later payment has come."),
        "trial_unpaid": ([trial("trial_unpaid", 10, 3), failed("trial_unpaid", 3)], False,
                         "A charge has failed. The trial ended on {3}, and no payment has come."),
        "refunded": ([bought("refunded"), refund("refunded", 6, "49.00", "refunded")], False,
                     "The money went back to the customer on {6}. It was first paid for on {20}."),
        "refunded_in_parts": ([bought("refunded_in_parts"), refund("refunded_in_parts", 9, "40.00", "partial_refund", 8),
                               refund("refunded_in_parts", 6, "9.00", "partial_refund")], False, "The money went back to the customer on {6}."),
        "partly_refunded": ([bought("partly_refunded"), refund("partly_refunded", 6, "9.00", "partial_refund")], True,
                            "It was paid for. Some of the money went back, which does not end it. Since {20}, without end."),
        "subscription_refunded": ([paid("subscription_refunded", 10, -20), refund("subscription_refunded", 6, "12.00", "refunded")], False,
                                  "The money went back to the customer on {6}. It was first paid for on {10}."),
        "disputed": ([bought("disputed"), dispute("disputed", 4)], False, "The customer disputed the payment on {4}, and by the settings "
                     "that takes access away. It was first paid for on {20}."),
        "revoked": ([bought("revoked"), "SELECT bagelpay.revoke('revoked')"], False,
                    "An operator revoked it on {revoked}. It was first paid for on {20}."),
        "cleared": ([bought("cleared"), "SELECT bagelpay.revoke('cleared')", "SELECT bagelpay.clear('cleared')"], True,
                    "It was bought and paid for; a purchase has no end. Since {cleared}, without end."),
        "granted_for_less": ([bought("granted_for_less"), grant("granted_for_less", "now() + interval '1 day'"), "SELECT bagelpay.revoke('granted_for_less')"],
                             False, "An operator revoked it on {revoked}."),
        "granted": ([grant("granted", "now() + interval '9 days'")], True, "An operator granted it on {granted}. Until {valid_until}."),
        "granted_for_ever": ([grant("granted_for_ever")], True, "An operator granted it on {granted}. Without end."),
        "granted_infinitely": ([grant("granted_infinitely", "'infinity'")], True, "An operator granted it on {granted}. Without end."),
        "grant_over": ([grant("grant_over", "now() + interval '1 second'")], False,
                       "An operator’s grant of {granted} ended on {granted_until}. No payment and no trial have come so far."),
        "expired_and_grant_over": ([paid("expired_and_grant_over", 50, 20), grant("expired_and_grant_over", "now() + interval '1 second'")], False,
                                   "An operator’s grant of {granted} ended on {granted_until}. What was paid for ended on {20}, and no later "
                                   "payment has come. Without the grant it lasted from {50} until {19}, grace period included."),
        "refunded_and_granted": ([bought("refunded_and_granted"), refund("refunded_and_granted", 6, "49.00", "refunded"),
                                  grant("refunded_and_granted")], True, "An operator granted it on {granted}. Without end."),
    },
    "on_cancel = 'keep_paid_time'": {
        "kept": ([paid("kept", 10, -20), canceled("kept", 1)], True,
                 "It is canceled, but what was paid for lasts until {-20}. Since {10}, until {-20}."),
    },
    "revoke_on_dispute = FALSE": {
        "dispute_kept": ([bought("dispute_kept"), dispute("dispute_kept", 4)], True,
                         "The customer disputes the payment, but by the settings a disputed payment counts. Since {20}, without end."),
    },
    "require_expected_order = TRUE": {
        "expected": ([bought("expected"), expect("expected")], True, "It was bought and paid for; a purchase has no end."),
        **{f"other_{what}": ([bought(f"other_{what}"), expect(f"other_{what}", **given)], False,
                             f"By the settings only expected orders entitle, and this one {told}. It was first paid for on {{20}}.")
           for what, given, told in (
               ("customer", {"email": "x@example.com"}, "is not as expected: it has another customer"),
               ("product", {"product": "x"}, "is not as expected: it has another product"),
               ("amount", {"amount": "48"}, "is not as expected: it has another amount"),
               ("currency", {"currency": "USD"}, "is not as expected: it has another currency"),
               ("price", {"amount": "48", "currency": "USD"}, "is not as expected: it has another amount, another currency"),
               ("mode", {"mode": "test"}, "is not as expected: it was expected in the other mode"))},
        "unexpected": ([bought("unexpected")], False, "By the settings only expected orders entitle, and this one was not expected. "
                       "It was first paid for on {20}."),
    },
}


@pytest.fixture(scope="module")
def lived(stand):
    """The stand when all of it has happened."""
    for group in LIVES.values():
        for happened, _, _ in group.values():
            for step in happened:
                if isinstance(step, str):
                    stand.query(step)
                else:
                    assert stand.deliver(step).status == 200
    # Until the short grants are over.
    stand.query("SELECT pg_sleep(1.1)")
    return stand


@contextlib.contextmanager
def set_to(lived, settings):
    """Meanwhile some settings differ from the usual."""
    if settings:
        lived.query(f"UPDATE bagelpay.settings SET {settings}")
    try:
        yield
    finally:
        lived.query("UPDATE bagelpay.settings SET on_cancel = DEFAULT, revoke_on_dispute = DEFAULT, require_expected_order = DEFAULT")


@pytest.fixture(scope="module")
def browser(stand, tmp_path_factory):
    one = Browser(stand.origin, tmp_path_factory.mktemp("chromium"))
    try:
        one.log_in()
        yield one
        assert one.misdeeds() == []
    finally:
        one.close()


def stamp(moment):
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")


def plain(text):
    """Without how far moments are from now, and on one line."""
    return re.sub(r"\s+", " ", re.sub(r" \((in )?[\w ]+( ago)?\)", "", text))


def found(browser):
    """What is shown of each order: {id: (answer, text)}."""
    shown = browser.driver.execute_script("return [...document.querySelectorAll('.verdict')].map((v) => [v.querySelector('h2 .id').textContent, "
                                          "v.querySelector('.answer').textContent, v.innerText])")
    assert len({row[0] for row in shown}) == len(shown)
    return {life: (answer, plain(text)) for life, answer, text in shown}


@pytest.mark.parametrize("settings", LIVES)
def test_the_words_agree_with_sql(lived, browser, settings):
    """Of every life, found by the customer's address: whether it entitles as is_entitled() has it, since when, until when, why."""
    with set_to(lived, settings):
        rows = {row[0]: row[1:] for row in lived.query(
            """SELECT e.order_id, bagelpay.is_entitled(%s, e.product_id), e.valid_until, d.granted, d.granted_until, d.revoked, d.cleared
            FROM bagelpay.entitlements AS e
            CROSS JOIN LATERAL (
                SELECT max(occurred_at) FILTER (WHERE decision = 'grant') AS granted, max(granted_until) AS granted_until,
                    max(occurred_at) FILTER (WHERE decision = 'revoke') AS revoked, max(occurred_at) FILTER (WHERE decision = 'clear') AS cleared
                FROM bagelpay_internal.decisions AS d WHERE d.order_id = e.order_id) AS d""", CUSTOMER)}
        assert set(rows) == {life for group in LIVES.values() for life in group}
        browser.go(f"#/find?q={CUSTOMER}")
        entitled = sum(row[0] for row in rows.values())
        browser.wait_text(f"Entitled by {entitled} of {len(rows)} live matches.")
        while len(found(browser)) < len(rows):
            before = len(found(browser))
            browser.find(".more button").click()
            browser.wait(lambda: len(found(browser)) > before, "more of them")
        assert browser.count(".more button") == 0
        shown = found(browser)
        order = [answer for answer, _ in shown.values()]
        assert order == sorted(order), "those that entitle come first"
        for life, (expected, valid_until, *_) in rows.items():
            assert shown[life][0] == ("Entitled" if expected else "Not entitled"), life
            assert valid_until is None or stamp(valid_until) in shown[life][1], life
        for life, (_, entitles, words) in LIVES[settings].items():
            expected, *moments = rows[life]
            names = dict(zip(("valid_until", "granted", "granted_until", "revoked", "cleared"), moments))
            told = re.sub(r"\{(.+?)\}", lambda m: stamp(names[m[1]]) if m[1] in names else story.at(float(m[1]))[:19].replace("T", " ") + " UTC", words)
            assert expected is entitles, life
            assert told in shown[life][1], life


@pytest.mark.parametrize("settings", LIVES)
def test_the_bars_agree_with_sql(lived, settings):
    """Now, where access begins, before it ends and from then on, is_entitled() says the same of that moment."""
    with set_to(lived, settings):
        with lived.connect() as connection:
            for life in LIVES[settings]:
                item, = lived.get("/api/order", mode="live", order=life).json["items"]
                wrong = connection.execute(
                    """WITH access AS (SELECT tstzrange((r ->> 0)::timestamptz, (r ->> 1)::timestamptz) AS r FROM json_array_elements(%s::json) AS r)
                    SELECT m.at
                    FROM (SELECT unnest(ARRAY[lower(r), upper(r) - interval '1 microsecond', upper(r)]) FROM access
                        UNION ALL SELECT occurred_at FROM bagelpay.events WHERE order_id = %s UNION ALL SELECT now()) AS m (at)
                    WHERE m.at IS NOT NULL AND EXISTS (SELECT FROM access WHERE r @> m.at) <> bagelpay.is_entitled(%s, %s, 'live', m.at)""",
                    (json.dumps(item["access"]), life, CUSTOMER, life)).fetchall()
                assert wrong == [], life


def test_the_order_says_the_same(lived, browser):
    """Its own page has the same words, a bar for a trial of which no end was said, and no end for an endless grant."""
    browser.go("#/order/live/trial_without_end")
    browser.wait(lambda: browser.count("svg rect.trial") == 1, "the trial's bar")
    assert "The trial runs until" in browser.text(".verdict")
    browser.go("#/order/live/granted_infinitely")
    browser.wait(lambda: browser.count("svg rect.entitled") == 1, "the bar")
    assert "NaN" not in browser.driver.page_source and "Without end." in browser.text(".verdict")


def test_failed_checkouts_hide_nothing(lived, browser):
    """Many later attempts of a customer who is entitled by one subscription."""
    who = {"customer": {"id": "cus_many", "email": "many@example.com"}}
    for number in range(26):
        body = json.loads(paid("many_0", 65, -300) if number == 0 else failed(f"many_{number}", 1))
        body["object"].update(who)
        assert lived.deliver(body).status == 200
    browser.go("#/find?q=many@example.com")
    browser.wait_text("Entitled by 1 of 26 live matches.")
    assert browser.text(".verdict:first-child .answer") == "Entitled" and "many_0" in browser.text(".verdict:first-child")
    assert browser.count(".verdict") == 20
    browser.find(".more button").click()
    browser.wait(lambda: browser.count(".verdict") == 26, "the others")
    assert browser.focused() == browser.driver.find_elements(By.CSS_SELECTOR, ".verdict h2 a")[20].text


def test_only_test_purchases(lived, browser):
    """Of somebody who only tried it out."""
    for number in (1, 2):
        body = json.loads(bought(f"trying_{number}"))
        body["object"].update({"mode": "test", "customer": {"id": "cus_trying", "email": "trying@example.com"}})
        assert lived.deliver(body).status == 200
    browser.go("#/find?q=trying@example.com")
    browser.wait_text("Both are test purchases, which never entitle in live mode.")


def test_too_many_to_look_at(lived, browser):
    """Of more orders than are looked at nothing is said that those which were not could make untrue."""
    lived.query("""INSERT INTO bagelpay.orders (mode, order_id, key_source, status, conflict, customer_email, updated_at, has_sold, has_products,
            has_users, has_unnamed, has_links, has_trials, has_refunds, has_decisions)
        SELECT 'live', 'crowd_' || i, 'metadata', 'failed', FALSE, 'crowd@example.com', now(), FALSE, FALSE, FALSE, FALSE, FALSE, FALSE, FALSE, FALSE
        FROM generate_series(1, 600) AS i""")
    lived.query("""INSERT INTO bagelpay.events (event_id, event_type, mode, occurred_at, fold_slot, received_at, order_id, key_source, outcome, warnings, customer_email)
        SELECT o.order_id, 'checkout.failed', 'live', now(), bagelpay_internal.fold_slot(now(), 'checkout.failed'), now(), o.order_id, 'metadata', 'applied', '{}', o.customer_email
        FROM bagelpay.orders AS o WHERE o.customer_email = 'crowd@example.com'""")
    browser.go("#/find?q=crowd@example.com")
    browser.wait_text("Only 501 of the exact matches were looked at: none of those entitles.")
    assert "Not entitled by any" not in browser.text()


def test_items_of_an_order(lived, browser):
    """Two customers under one order id: each has an item with a verdict and a time line, and is found alone."""
    for number, who in enumerate(("one", "other"), 1):
        body = json.loads(event("shared", number, "checkout.completed", 9 - number, payment_id=f"pay_shared_{number}", order={"amount": "5.00", "currency": "eur"}))
        body["object"]["customer"] = {"id": f"cus_{who}", "email": f"{who}@example.com"}
        assert lived.deliver(json.dumps(body).encode()).status == 200
    lived.query("SELECT bagelpay.revoke('shared', customer => 'other@example.com')")
    browser.go("#/order/live/shared")
    browser.wait(lambda: browser.count("svg") == 2, "two time lines")
    assert [part.text for part in browser.driver.find_elements(By.CSS_SELECTOR, ".answer")] == ["Entitled", "Not entitled"]
    assert "Item 1\nEntitled" in browser.text() and "An operator revoked it on" in browser.text(".verdict:not(.yes)")
    assert "its purchases name different customers" in browser.text("dd")
    # Each has the dots of its own purchase; the decision is on one of them.
    assert [len(part.find_elements(By.CSS_SELECTOR, ".dot")) for part in browser.driver.find_elements(By.CSS_SELECTOR, "svg")] == [2, 4]
    for wanted, verdict in (("cus_one", "Entitled"), ("OTHER@example.com", "Not entitled")):
        browser.go(f"#/find?q={wanted}")
        browser.wait(lambda: browser.text(".answer") == verdict, "one verdict")
    browser.go("#/find?q=shared")
    browser.wait_text("Entitled by 1 of 2 live matches.")


def test_a_large_order(lived, browser):
    """Of more events than are shown: its verdict, its last events, and what each of them changed."""
    lived.query("""INSERT INTO bagelpay.events (event_id, event_type, mode, occurred_at, fold_slot, received_at, order_id, key_source, outcome, warnings,
            payment_id)
        SELECT 'large_' || i, 'checkout.completed', 'live', at, bagelpay_internal.fold_slot(at, 'checkout.completed'), at, 'large', 'metadata', 'applied', '{}', i::text
        FROM generate_series(1, 300) AS i, LATERAL (SELECT now() - (300 - i) * interval '1 minute') AS t (at)""")
    lived.query("INSERT INTO bagelpay.event_bodies (event_id, body) VALUES ('large_300', '{\"large\": 300}')")
    lived.query("SELECT bagelpay.rebuild('large', 'live')")
    browser.go("#/order/live/large")
    browser.wait_text("The last 200 of 300 events.")
    assert browser.text(".answer") == "Entitled" and "large_300" in browser.driver.page_source
    browser.wait(lambda: browser.count("svg .cluster") > 0, "the drawing")
    # Each row has each of the events, as a dot or in a number.
    assert browser.driver.execute_script("return [...document.querySelectorAll('svg .cluster')].reduce((n, c) => n + Number(/^\\+(\\d+)/.exec(c.firstChild.data)[1]), 0)") \
        + browser.count("svg .dot") == 400
    browser.go("#/delivery/large_300")
    browser.wait_text("payment 300: paid")
    assert '"large": 300' in browser.text("pre")
    assert browser.misdeeds() == []
    listed = lived.get("/api/deliveries", order="large").json
    assert len(listed["rows"]) == 50 and listed["next"] is not None
