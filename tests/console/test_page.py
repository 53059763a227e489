"""The page in a browser, as people use it."""

import contextlib
import os
import pathlib
import re

import pytest

import harness
import story
from browser import By, Keys
from console_stand import Stand

VIEWS = {"overview": "#/overview?range=30d", "attention": "#/attention", "deliveries": "#/deliveries", "delivery": "#/delivery/order_ann_3",
         "order": "#/order/live/order_ann", "customer": "#/customer/email/ann@example.com", "find": "#/find?q=eve@example.com",
         "nothing": "#/find?q=nobody", "dead-letters": "#/dead-letters", "dead-letter": "#/dead-letter/2"}


@pytest.fixture(scope="module")
def stand(cluster):
    """Stories that came over the last weeks, a hostile order, and a dead letter."""
    with contextlib.closing(Stand(cluster)) as one:
        for body in [*story.renewals("order_ann", "ann@example.com"), *story.refunded("order_bob", "bob@example.com"),
                     *story.expired("order_eve", "eve@example.com"), story.hostile()]:
            assert one.deliver(body).status == 200
        assert one.deliver(b'{"event_id": "evt_dead", "event_type": "checkout.completed", "object": {}}').status == 400
        # Another event under an id that is taken.
        assert one.deliver(story.paid("order_ann_2", 71, "order_ann", "ann@example.com", 41, amount="13.00")).status == 200
        # As if each had come two seconds after it happened, but one, which was retried for days.
        one.query("UPDATE bagelpay.events SET received_at = occurred_at + CASE event_id WHEN 'order_ann_3' "
                  "THEN interval '34 days' ELSE interval '2 seconds' END")
        yield one


@pytest.fixture(autouse=True)
def looked_after(well_behaved):
    """All of these tests look at the page."""


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Where screenshots go; BAGELHOOK_SCREENSHOTS says to docs/, to be looked at and kept."""
    return pathlib.Path(os.environ.get("BAGELHOOK_SCREENSHOTS") or tmp_path_factory.mktemp("screenshots"))


# --- what people do ---------------------------------------------------------------------------------------------------

def test_a_story_appears(stand, browser):
    """Delivered while somebody looks, it appears by itself; from there to the order and its life."""
    browser.go("#/deliveries?order=order_new")
    browser.wait_text("No results for these filters.")
    for body in story.renewals("order_new", "new@example.com"):
        assert stand.deliver(body).status == 200
    browser.wait(lambda: browser.count("tbody tr") == 5, "five rows")
    browser.find("tbody a[href='#/order/live/order_new']").click()
    browser.wait(lambda: browser.heading() == "Order order_new live" and browser.text(".answer") != "", "the order")
    assert browser.text(".answer") == "Entitled"
    browser.wait(lambda: browser.count("svg .dot, svg .dot-late") == 10, "each event twice in the drawing")
    assert browser.count("svg .dot-late") == 2 and browser.count("svg .now") == 1
    assert (browser.count("svg rect.trial"), browser.count("svg rect.paid"), browser.count("svg rect.entitled")) == (1, 3, 1)
    now = float(browser.find("svg .now").get_attribute("x1"))
    entitled = browser.find("svg .entitled")
    assert float(entitled.get_attribute("x")) < now < float(entitled.get_attribute("x")) + float(entitled.get_attribute("width"))


def test_why_is_this_customer_not_entitled(browser):
    """From a name to the reason, in words."""
    browser.go("#/overview")
    field = browser.find("#q")
    field.clear()
    field.send_keys("EVE@example.com", Keys.ENTER)
    browser.wait_text("Not entitled")
    text = browser.text(".verdict")
    assert re.search(r"What was paid for ended on .* \(20 days ago\), and no later payment has come\.", text)
    assert re.search(r"It lasted from .* until .* \(19 days ago\), grace period included\.", text) and "order_eve" in text
    browser.find(".verdict a").click()
    browser.wait(lambda: browser.heading() == "Order order_eve live", "the order")


@pytest.mark.parametrize("q, words", [
    ("order_bob", "The money went back to the customer on "), ("order_bob_2", "There is an event of this id"),
    ("cus_order_ann", "It is paid for until "), ("ann@exa", "Nothing matches exactly"), ("nobody", "No results for nobody."), ("nobody", "BagelPay’s webhook for it never came")])
def test_find(browser, q, words):
    browser.go(f"#/find?q={q}")
    browser.wait_text(words)


def test_a_delivery(browser):
    browser.go("#/delivery/order_ann_3")
    browser.wait_text("payment pay_order_ann_3: failed → paid")
    text = browser.text()
    assert "late" in text and "34 days after it occurred" in text
    assert '"amount": "12.00"' in browser.text("pre")


def test_a_dead_letter(stand, browser):
    browser.go("#/dead-letters")
    browser.wait_text("object.mode: missing", "tbody")
    browser.find("tbody a[href='#/dead-letter/1']").click()
    browser.wait_text("It is correctly signed, but not a valid event.")
    assert "object.mode: missing" in browser.text() and '"event_id": "evt_dead"' in browser.text("pre")
    assert f"bagelhook redrive --id 1 --database dbname={stand.db}" in browser.text("pre")


def test_filters(browser):
    """Each narrows the list, stands in the address, and all can be taken back."""
    browser.go("#/deliveries")
    browser.wait(lambda: browser.count("tbody tr") >= 10, "the list")
    for name, value, rows in (("type", "refund.created", 1), ("outcome", "dead_letter", 2), ("order", "order_ann", 5),
                              ("event", "order_eve_1", 1), ("mode", "test", 0)):
        browser.go("#/deliveries")
        browser.wait(lambda: browser.count("tbody tr") >= 10, "the list")
        field = browser.find(f"[name={name}]")
        if field.tag_name == "select":
            field.find_element(By.CSS_SELECTOR, f"option[value='{value}']").click()
        else:
            field.send_keys(value, Keys.TAB)
        browser.wait(lambda: f"{name}={value}" in browser.driver.current_url and browser.count("tbody tr") == rows
                     and browser.find(".empty").is_displayed() == (rows == 0), f"{rows} rows by {name}")
    address = browser.driver.current_url
    browser.driver.refresh()
    browser.wait(lambda: browser.count("[name=mode]") and browser.find("[name=mode]").get_attribute("value") == "test", "the form again")
    browser.wait(lambda: browser.find(".empty").is_displayed(), "the same answer")
    assert browser.driver.current_url == address
    browser.find(".filters button").click()
    browser.wait(lambda: browser.count("tbody tr") >= 10, "all of them again")
    assert browser.driver.current_url.endswith("#/deliveries") and browser.find("[name=mode]").get_attribute("value") == ""


def test_overview(stand, browser):
    """The newest event and the last hour, without reloading."""
    browser.go("#/overview")
    body = story.event("evt_now", "checkout.completed", 0, "order_now", "now@example.com", payment_id="p", order={"amount": "1"})
    assert stand.deliver(body).status == 200
    browser.wait(lambda: browser.find("a[href='#/delivery/evt_now']").is_displayed(), "the newest event")
    assert "Open dead letters\n2" in browser.text() and "Nothing waits for the database." in browser.text()
    with stand.spooling():
        waits = story.event("evt_waits", "checkout.completed", 0, "order_waits", "x" * 2000, payment_id="p", order={"amount": "1"})
        assert stand.deliver(waits).json["spooled"]
        browser.wait_text("1 file")
        browser.wait_text("KiB, the oldest for")
        browser.wait(lambda: browser.count("[aria-label^='Files in the spool'] .bar-spool") >= 1, "a bar for the spool")
    browser.wait_text("Nothing waits for the database.")
    browser.wait(lambda: browser.count("[aria-label='Received and committed'] .bar") >= 1 and browser.count("[aria-label='Received and committed'] .failure") == 1, "bars")


# --- what must not happen ---------------------------------------------------------------------------------------------

def test_hostile_names_are_text(browser):
    """Markup, scripts, turned and endless text: shown, in every view that shows them, as what it is."""
    order, event = "order_" + story.HOSTILE["markup"], "evt_" + story.HOSTILE["markup"]
    quoted = browser.driver.execute_script("return [encodeURIComponent(arguments[0]), encodeURIComponent(arguments[1])]", order, event)
    for fragment in ("#/deliveries", f"#/deliveries?event={quoted[1]}", f"#/order/live/{quoted[0]}", f"#/delivery/{quoted[1]}",
                     f"#/find?q={quoted[0]}", "#/find?q=ann%E2%80%AE", "#/order/%ff/%ff"):
        browser.go(fragment)
        browser.wait(lambda: not browser.busy(), "the view")
        assert browser.count("main img, main script, main iframe") == 0
        assert "owned" not in browser.driver.title.split("script")[0].replace("document.title='owned'", "")
        for turned in "\u202e\u2066":
            assert turned not in browser.text("body") and turned not in browser.driver.title
        assert browser.overflow() == 0
    browser.driver.execute_script("window.location.hash = arguments[0]", f"#/{quoted[0]}")
    browser.wait(lambda: browser.heading() == "There is no such page" and browser.count("main img") == 0, "no such page")
    browser.go(f"#/delivery/{quoted[1]}")
    browser.wait_text("<script>document.title='owned'</script>", "pre")
    assert "ann\\u202emoc.elpmaxe@nna\\u2066" in browser.text("pre")
    assert '"more": 1.10' in browser.text("pre")


def test_the_policy_holds(browser):
    """Were there a hole, the browser would still run nothing that stands in the page, and frame nothing."""
    browser.driver.execute_script("""
        const script = document.createElement('script'); script.textContent = 'window.owned = 1'; document.body.append(script);
        document.body.insertAdjacentHTML('beforeend', '<img src=x onerror="window.owned = 1"><a id=j href="javascript:window.owned = 1">j</a>');
        document.getElementById('j').click();""")
    browser.wait(lambda: any("Content Security Policy" in line for line in browser.misdeeds()), "the browser to refuse")
    assert browser.driver.execute_script("return window.owned ?? null") is None
    browser.driver.refresh()
    browser.wait(lambda: browser.heading() != "", "the page again")
    browser.misdeeds()


def test_the_database_goes_away_and_comes_back(stand, browser):
    """Views say so, show what is known without it, and go on by themselves."""
    browser.go("#/overview")
    browser.wait_text("Last good event")
    stand.query("ALTER ROLE bagelhook_console CONNECTION LIMIT 0")
    try:
        stand.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND application_name = 'bagelhook-console'", stand.db)
        browser.wait_text("Trying again", "#trouble")
        with stand.spooling():
            body = story.event("evt_while", "checkout.completed", 0, "order_now", "now@example.com", payment_id="p", order={"amount": "1"})
            assert stand.deliver(body).json["spooled"]
            browser.wait_text("1 file")
        browser.go("#/dead-letters")
        browser.wait_text("Trying again", "#trouble")
    finally:
        stand.query("ALTER ROLE bagelhook_console CONNECTION LIMIT -1")
    browser.wait_text("object.mode: missing")
    assert not browser.find("#trouble").is_displayed()
    # That it was refused is what the browser itself complains of, and rightly.
    assert all("503" in line for line in browser.misdeeds())


# --- for everybody ----------------------------------------------------------------------------------------------------

def test_by_keyboard_alone(browser):
    """To the reason why somebody is not entitled without a mouse, and seeing where one is."""
    browser.driver.get(browser.origin + "/")
    browser.wait_text("Last good event")
    browser.wait_text("Attention 2", "nav")
    browser.press(Keys.TAB)
    assert browser.focused() == "skip"
    seen = []
    for _ in range(6):
        browser.press(Keys.TAB)
        seen.append(browser.focused())
    assert seen == ["bagelhook", "Overview", "Attention 2", "Deliveries", "Dead letters", "q"]
    browser.press("eve@example.com", Keys.ENTER)
    browser.wait_text("Not entitled")
    assert browser.driver.execute_script("return document.activeElement.id") == "title", "the focus on what is new"
    for name in ("Copy what you searched for", "eve@example.com", "order_eve"):
        browser.press(Keys.TAB)
        assert browser.focused() == name
    outline = browser.driver.execute_script("return getComputedStyle(document.activeElement).outlineStyle + getComputedStyle(document.activeElement).outlineWidth")
    assert outline == "solid3px"
    browser.press(Keys.ENTER)
    browser.wait(lambda: browser.heading() == "Order order_eve live", "the order")
    browser.press("/")
    assert browser.focused() == "q"


def test_the_focus_survives_updates(stand, browser):
    browser.go("#/deliveries")
    browser.wait(lambda: browser.count("tbody tr") >= 10, "the list")
    browser.driver.execute_script("document.querySelector('tbody a').focus()")
    before = browser.focused()
    assert stand.deliver(story.event("evt_focus", "checkout.completed", 0, "order_focus", "f@example.com", payment_id="f")).status == 200
    browser.wait_text("1 new", ".newer")
    assert browser.focused() == before and "order_focus" not in browser.text("tbody")


@pytest.mark.parametrize("view", VIEWS)
def test_axe(browser, axe, view):
    """axe-core finds nothing in a wide light window, and nothing in a telephone's dark one, which shows all of a view."""
    browser.go(VIEWS[view])
    browser.wait(lambda: not browser.busy(), view)
    browser.wait(lambda: browser.count("tbody tr") > 1 or view != "deliveries", "rows")
    for size, scheme in (((1280, 900), "light"), ((820, 900), "dark"), ((390, 800), "light"), ((360, 800), "dark")):
        browser.size(*size)
        browser.scheme(scheme)
        assert browser.overflow() == 0
        assert browser.violations(axe) == []


@pytest.mark.parametrize("view, scheme, width, height", [
    ("overview", "light", 1280, 860), ("deliveries", "light", 1280, 860), ("order", "light", 1280, 1250), ("order", "dark", 1280, 1250),
    ("find", "light", 1280, 700), ("customer", "light", 1280, 1400), ("attention", "light", 1280, 800), ("order", "light", 380, 1500), ("delivery", "light", 1280, 1300), ("dead-letters", "dark", 1280, 700), ("deliveries", "light", 380, 900)])
def test_screenshots(browser, pictures, view, scheme, width, height):
    """For people to look at; that they show both schemes is all that is checked."""
    browser.size(width, height)
    browser.scheme(scheme)
    browser.go(VIEWS[view])
    browser.wait(lambda: not browser.busy(), view)
    browser.wait(lambda: browser.count("svg") > 0 or view not in ("order", "overview"), "drawings")
    browser.wait(lambda: browser.count("tbody tr") > 1 or view != "deliveries", "rows")
    path = pictures / f"console-{view}-{scheme}{'' if width > 1000 else '-narrow'}.png"
    browser.screenshot(path)
    assert path.stat().st_size > 10000
    back = browser.driver.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert (back == "rgb(23, 22, 20)") == (scheme == "dark")
