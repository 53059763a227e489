"""What keeps itself up to date while somebody looks: the list, its filters, dead letters, the overview."""

import concurrent.futures
import contextlib
import json
import time

import pytest

import harness
import story
from browser import Browser, Keys
from console_stand import Stand

# More than a call looks through, of a type that nobody documented.
MANY = 20050


@pytest.fixture(scope="module")
def stand(cluster):
    """Very many events that came yesterday, one second after the other."""
    with contextlib.closing(Stand(cluster)) as one:
        one.query("INSERT INTO bagelpay.events (event_id, event_type, mode, occurred_at, received_at, outcome, warnings) "
                  "SELECT 'many_' || i, 'invoice.created', 'live', t, t, 'ignored', '{}' FROM generate_series(1, %s) AS i "
                  "CROSS JOIN LATERAL (SELECT now() - interval '1 day' - i * interval '1 second') AS at (t)", MANY)
        one.query("VACUUM (ANALYZE) bagelpay.events")
        yield one


@pytest.fixture(autouse=True)
def looked_after(well_behaved):
    """All of these tests look at the page."""


def buy(name):
    """A purchase, under an event id and an order of its own."""
    return story.event(f"evt_{name}", "checkout.completed", 0, f"order_{name}", "live@example.com", payment_id=f"pay_{name}")


def take(stand, *bodies_):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert {answer.status for answer in pool.map(stand.deliver, bodies_)} == {200}


def show_list(browser, fragment="#/deliveries"):
    browser.go(fragment)
    browser.wait(lambda: browser.count("tbody tr") > 0, "rows")


def field(browser, name):
    return browser.driver.execute_script("return document.querySelector(`[name=${arguments[0]}]`).value", name)


def has_focus(browser, selector):
    return browser.driver.execute_script("return document.activeElement.matches(arguments[0])", selector)


def tab_to(browser, selector):
    """By the keyboard alone, from the heading."""
    browser.driver.execute_script("document.querySelector('h1').focus()")
    for _ in range(60):
        if has_focus(browser, selector):
            return
        browser.press(Keys.TAB)
    raise AssertionError(f"{selector} cannot be reached")


def tab_to_older(browser):
    """As tab_to() would, but from the end, as there are many links before it."""
    browser.find("footer p").click()
    for _ in range(4):
        browser.driver.switch_to.active_element.send_keys(Keys.SHIFT, Keys.TAB)
        if has_focus(browser, ".more button"):
            return
    raise AssertionError("it cannot be reached")


# --- filters ----------------------------------------------------------------------------------------------------------

def test_filters_by_keyboard(stand, browser):
    """Whoever goes through a choice with the arrows, or types a date, is not interrupted by what they choose."""
    take(stand, buy("filters"))
    show_list(browser)
    tab_to(browser, "[name=outcome]")
    for outcome in ("applied", "ignored", "unmatched"):
        browser.press(Keys.ARROW_DOWN)
        browser.wait(lambda: f"outcome={outcome}" in browser.driver.current_url, f"what was {outcome}")
        browser.wait(lambda: (browser.count("tbody tr") > 0) == (outcome != "unmatched"), f"the rows of what was {outcome}")
        assert has_focus(browser, "[name=outcome]") and field(browser, "outcome") == outcome
    browser.press(Keys.HOME)
    browser.wait(lambda: browser.driver.current_url.endswith("#/deliveries") and browser.count("tbody tr") > 0, "no filter")
    assert has_focus(browser, "[name=outcome]")
    show_list(browser, "#/deliveries?since=2020-02-01T10:00:00Z")
    tab_to(browser, "[name=since]")
    browser.press("1")
    browser.press("2")
    browser.wait(lambda: "since=2020-12-01T10%3A00%3A00Z" in browser.driver.current_url, "December")
    browser.wait(lambda: browser.count("tbody tr") > 0, "rows")
    assert has_focus(browser, "[name=since]") and field(browser, "since") == "2020-12-01T10:00"
    browser.press(Keys.BACKSPACE)
    browser.press(Keys.TAB)
    assert has_focus(browser, "[name=since]"), "the day, in the same field"


def test_a_type_that_nobody_documented(browser):
    """Types are what came, not what is on a list: shown as chosen, kept, and offered once seen."""
    show_list(browser, "#/deliveries?type=invoice.created")
    assert browser.count("tbody tr") == 50 and field(browser, "type") == "invoice.created"
    tab_to(browser, "[name=mode]")
    browser.press(Keys.ARROW_DOWN)
    browser.wait(lambda: "mode=live" in browser.driver.current_url, "the mode, too")
    assert "type=invoice.created" in browser.driver.current_url
    assert browser.driver.execute_script("return [...document.querySelectorAll('#types option')].some((o) => o.value === 'invoice.created')")
    tab_to(browser, "[name=type]")
    browser.press("refund.created")
    browser.wait(lambda: "type=refund.created" in browser.driver.current_url and browser.count("tbody tr") == 0, "another type")
    assert has_focus(browser, "[name=type]")


def test_a_filter_that_is_refused(browser):
    """Is said where the rows would be, and the form is still there to mend it."""
    browser.go("#/deliveries?since=yesterdayish")
    browser.wait_text("“yesterdayish” is no time. Use one like 2026-05-12T07:30:00Z.", ".empty")
    tab_to(browser, ".filters button")
    browser.press(Keys.ENTER)
    browser.wait(lambda: browser.count("tbody tr") > 0, "all")
    assert has_focus(browser, "[name=mode]")


# --- the list ---------------------------------------------------------------------------------------------------------

def test_what_comes_again_is_counted(stand, browser):
    """However long ago it first came, and wherever in the list it stands; the focus stays."""
    again, below = buy("again"), buy("again_below")
    take(stand, again, below)
    stand.query("UPDATE bagelpay.events SET received_at = now() - interval '1 minute' WHERE event_id = 'evt_again'")
    stand.query("UPDATE bagelpay.events SET received_at = (SELECT received_at FROM bagelpay.events WHERE event_id = 'many_70') "
                "WHERE event_id = 'evt_again_below'")
    show_list(browser)
    tab_to(browser, "td a[href='#/delivery/evt_again']")
    take(stand, again)
    browser.wait(lambda: "delivered twice" in row(browser, "evt_again"), "the count")
    assert has_focus(browser, "td a[href='#/delivery/evt_again']")
    browser.find(".more button").click()
    browser.wait(lambda: browser.count("tbody tr") > 50, "older ones")
    take(stand, below)
    browser.wait(lambda: "delivered twice" in row(browser, "evt_again_below"), "its count, too")
    show_list(browser, "#/deliveries?mode=live")
    take(stand, again)
    browser.wait(lambda: "delivered 3 times" in row(browser, "evt_again"), "the count in a filtered list")


def row(browser, event):
    return browser.driver.execute_script(
        "return document.querySelector(`tbody a[href='#/delivery/${arguments[0]}']`).closest('tr').innerText", event)


def test_older_ones_stay(stand, browser):
    """Whoever went on to older ones keeps them, is told how many came, and has them when they want."""
    show_list(browser)
    tab_to_older(browser)
    browser.press(Keys.ENTER)
    browser.wait(lambda: browser.count("tbody tr") == 100, "older ones")
    assert has_focus(browser, ".more button")
    take(stand, *(buy(f"held_{number}") for number in range(3)))
    browser.wait_text("3 new", ".newer")
    assert browser.count("tbody tr") == 100 and "order_held_0" not in browser.text()
    take(stand, *(buy(f"burst_{number}") for number in range(120)))
    browser.wait_text("More than", ".newer")
    assert browser.count("tbody tr") == 100
    browser.press(Keys.ENTER)
    browser.wait(lambda: browser.count("tbody tr") == 150, "still older ones")
    tab_to(browser, ".newer")
    browser.press(Keys.ENTER)
    browser.wait(lambda: browser.count("tbody tr") == 50 and "order_burst" in browser.text("tbody"), "the newest")
    assert not browser.find(".newer").is_displayed() and has_focus(browser, ".scroll")


def test_older_ones_after_a_failure(browser):
    """A request for older ones that fails is said, and can be made again."""
    show_list(browser)
    with browser.cut_off("*before_at*"):
        tab_to_older(browser)
        browser.press(Keys.ENTER)
        browser.wait_text("The console does not answer", "#trouble")
        assert browser.count("tbody tr") == 50
    assert has_focus(browser, ".more button")
    browser.press(Keys.ENTER)
    browser.wait(lambda: browser.count("tbody tr") == 100, "older ones")
    browser.wait(lambda: not browser.find("#trouble").is_displayed(), "nothing to complain of")


def test_nothing_is_said_only_when_it_is_known(browser):
    """While there is more to look through, how far it has come; then that there is nothing."""
    with browser.cut_off("*before_at*"):
        browser.go("#/deliveries?type=nobody.knows")
        browser.wait_text("looked through 20,000 events.", ".empty")
        assert browser.text(".empty").startswith("Nothing since 20") and "No results" not in browser.text()
        browser.wait_text("The console does not answer", "#trouble")
    tab_to_older(browser)
    assert browser.focused() == "Look further back"
    browser.press(Keys.ENTER)
    browser.wait_text("No results for these filters.", ".empty")
    assert not browser.find(".more button").is_displayed()


# --- dead letters -----------------------------------------------------------------------------------------------------

def test_dead_letters_come_again_and_are_resolved(stand, browser):
    """In both lists, where they stand, and the focus stays."""
    body = b'{"event_id": "evt_letter", "event_type": "checkout.completed", "object": {}}'
    assert stand.deliver(body).status == 400
    number, = stand.query("SELECT id FROM bagelpay.dead_letters WHERE body = %s", body)[0]
    browser.go("#/dead-letters?resolved=true")
    link = f"tbody a[href='#/dead-letter/{number}']"
    browser.wait(lambda: browser.count(link) == 1, "the letter")
    tab_to(browser, link)
    assert stand.deliver(body).status == 400
    browser.wait_text("delivered twice", "tbody")
    stand.query("UPDATE bagelpay.dead_letters SET resolved_at = now() WHERE id = %s", number)
    browser.wait_text("resolved", "tbody")
    assert has_focus(browser, link)
    # The focus stays with what it is of, also when something comes before that.
    assert stand.deliver(body.replace(b"evt_letter", b"evt_next")).status == 400
    browser.wait_text("evt_next", "tbody tr")
    assert has_focus(browser, link)
    stand.query("UPDATE bagelpay.dead_letters SET resolved_at = NULL WHERE id = %s", number)
    show_list(browser, "#/deliveries?outcome=dead_letter")
    stand.query("UPDATE bagelpay.dead_letters SET resolved_at = now(), deliveries = 7 WHERE id = %s", number)
    browser.wait(lambda: "resolved" in browser.text("tbody") and "delivered 7 times" in browser.text("tbody"), "both")


@pytest.mark.parametrize("body, shown, around", [
    (b'\xef\xbb\xbf{"event_id": "evt_bom"}', '\\ufeff{"event_id"', None),
    (b'{"event_id": "evt_\xff"}', "evt_", ("Not UTF-8 at byte 19", "ff", "000010  76 74 5f 20")),
    (b'{"event_id": "evt_cut', "evt_cut", None),
    (b'{"event_id": "' + "€".encode()[:2], '"event_id"', ("Not UTF-8 at byte 15", "e2", "7b 22 65 76"))], ids=["mark", "byte", "short", "half"])
def test_why_bytes_are_no_event(stand, browser, body, shown, around):
    """What a text would hide: a byte order mark, and bytes that are no UTF-8."""
    assert stand.deliver(body).status == 400
    number, = stand.query("SELECT id FROM bagelpay.dead_letters WHERE body = %s", body)[0]
    browser.go(f"#/dead-letter/{number}")
    browser.wait_text(shown, "pre[aria-label=Bytes]")
    if around is None:
        assert browser.count("pre .wrong") == 0
    else:
        sentence, byte, dump = around
        assert sentence in browser.text() and browser.text("pre .wrong") == byte
        assert dump.split(" ", 1)[0] in browser.text("pre[aria-label='Bytes around it']")


# --- the overview -----------------------------------------------------------------------------------------------------

def test_the_overview_keeps_what_it_shows(stand, browser):
    """The focus on a link, and the bar that a tip is shown of, outlast updates."""
    take(stand, buy("kept"))
    browser.go("#/overview")
    browser.wait(lambda: browser.count(".cards a[href='#/delivery/evt_kept']") == 1 and browser.count("svg .bar") > 0, "the event and a bar")
    tab_to(browser, ".cards a")
    browser.driver.execute_script("document.activeElement.kept = true; document.querySelector('svg .bar').kept = true")
    take(stand, buy("kept_too"))
    browser.wait(lambda: browser.count(".cards a[href='#/delivery/evt_kept_too']") == 1, "the next event")
    assert has_focus(browser, ".cards a[href='#/delivery/evt_kept_too']")
    assert browser.driver.execute_script("return document.activeElement.kept && document.querySelector('svg .bar').kept")


def test_a_corrupt_spool_is_no_good_sign(stand, browser):
    browser.go("#/overview")
    browser.wait_text("Nothing waits for the database.")
    assert browser.text(".figure.good").count("empty") == 1
    odd = stand.spool / "corrupt" / "odd"
    odd.touch()
    try:
        browser.wait_text("1 corrupt", ".figure.bad")
        browser.wait_text("1 in corrupt/", ".alarm")
    finally:
        odd.unlink()


def test_a_wrong_clock_here(stand, browser):
    """The plots of what the page itself saw are by the server's clock, like the others."""
    browser.go("#/deliveries")
    browser.driver.execute_script("window.rightly = Date.now; Date.now = () => window.rightly() - 7200000")
    try:
        browser.go("#/overview")
        with stand.spooling():
            assert stand.deliver(buy("clock")).json["spooled"]
            browser.wait(lambda: browser.count("[aria-label^='Files in the spool'] .bar-spool") == 1, "a bar for the spool")
            tip = browser.driver.execute_script("return document.querySelector(\"[aria-label^='Files in the spool']\").getAttribute('aria-valuetext')")
        minutes = {time.strftime("%H:%M", time.gmtime(time.time() - ago)) for ago in range(0, 120, 30)}
        assert tip[11:16] in minutes and tip.endswith(": 1 file")
    finally:
        browser.driver.execute_script("Date.now = window.rightly")


def test_a_wrong_secret(cluster, tmp_path):
    """That nothing was taken is seen, and why: in the list, on the overview, and minute by minute while it is open."""
    with contextlib.closing(Stand(cluster)) as stand, contextlib.closing(Browser(stand.origin, tmp_path)) as browser:
        def refuse(timestamp=None):
            assert harness.deliver(stand.url, "another secret", buy("refused"), timestamp).status == 401

        refuse()
        browser.log_in()
        browser.go("#/deliveries")
        browser.wait_text("Nothing has been received yet.", ".empty")
        browser.wait_text("1 with a signature of another secret: is the secret that of this webhook?", ".empty")
        browser.go("#/overview")
        browser.wait_text("Answered 401\n1\n1 with a signature of another secret", ".cards")
        assert browser.text(".figure.bad") == "1" and browser.count("svg .failure") == 0
        refuse()
        browser.wait(lambda: browser.count("svg .failure") == 1, "what was refused while it is open")
        assert harness.post(stand.url, b"{}").status == 401
        browser.wait_text("1 without a signature", ".cards")
        take(stand, buy("at_last"))
        browser.wait(lambda: browser.count("svg .bar") == 2, "what was answered 200, as well as the event")
        assert "Answered 200 while this page was open: 1; anything else: 2." in browser.driver.execute_script(
            "return [...document.querySelectorAll('svg')].map((s) => s.getAttribute('aria-label')).join()")
        browser.go("#/deliveries")
        browser.wait_text("Besides these, since the responder started: 3 answered 401. See why")
        browser.go("#/overview")
        with stand.spooling():
            assert stand.deliver(buy("later")).status == 503
            browser.wait_text("Answered 503\n1\n", ".cards")
        assert browser.misdeeds() == []


@pytest.mark.parametrize("size, scheme", [((1280, 900), "light"), ((360, 800), "dark")], ids=["wide", "narrow"])
def test_axe(stand, browser, axe, size, scheme):
    """Nor does axe-core find anything in what is shown only at times."""
    browser.size(*size)
    browser.scheme(scheme)

    def look():
        assert browser.violations(axe) == [] and browser.overflow() == 0

    assert harness.deliver(stand.url, "another secret", buy("refused")).status == 401
    browser.go("#/overview")
    browser.wait_text("Answered 401", ".cards")
    look()
    show_list(browser)
    browser.find(".more button").click()
    browser.wait(lambda: browser.count("tbody tr") == 100, "older ones")
    take(stand, buy(f"axe_{scheme}"))
    browser.wait_text("1 new", ".newer")
    look()
    with browser.cut_off("*before_at*"):
        browser.go("#/deliveries?type=nobody.knows")
        browser.wait_text("Look further back")
        look()
    body = b"\xff" + scheme.encode()
    assert stand.deliver(body).status == 400
    number, = stand.query("SELECT id FROM bagelpay.dead_letters WHERE body = %s", body)[0]
    browser.go(f"#/dead-letter/{number}")
    browser.wait_text("Not UTF-8 at byte 1")
    look()


# --- text from outside ------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("unseen, shown", [
    ("\u00a0", "\\u00a0"), ("\u115f", "\\u115f"), ("\u2800", "\\u2800"), ("\u3164", "\\u3164"), ("\ufe0f", "\\ufe0f"),
    ("\U000e0041", "\\u{e0041}"), ("\U000e0100", "\\u{e0100}"), ("\u200b", "\\u200b"), ("\U0001f96f é", "\U0001f96f é")])
def test_what_is_not_seen_is_shown(browser, unseen, shown):
    """Names that look alike are told apart, and what is seen stays as it is."""
    quoted = browser.driver.execute_script("return encodeURIComponent(arguments[0])", f"ann{unseen}x")
    browser.go(f"#/find?q={quoted}")
    browser.wait(lambda: browser.heading() == f"Results for ann{shown}x", shown)


def test_endless_metadata(stand, browser):
    """Its beginning, and how much more there is; all of it is in the body."""
    content = json.loads(buy("endless"))
    content["object"]["metadata"]["note"] = "x" * 150000
    take(stand, json.dumps(content).encode())
    for fragment in ("#/delivery/evt_endless", "#/order/live/order_endless"):
        browser.go(fragment)
        browser.wait_text("more characters", "dd")
        assert 9000 < max(len(text) for text in browser.driver.execute_script(
            "return [...document.querySelectorAll('dd')].map((e) => e.textContent)")) < 11000
