"""The support desk: from what a customer quotes to the reason and the remedy, and what the page does while it is slow or cut off."""

import contextlib
import csv
import datetime
import json
import re
import time

import pytest

import harness
import troubles
from browser import By, Keys
from console_stand import Stand

MOST_CLICKS, MOST_SECONDS = 3, 15


@pytest.fixture(scope="module")
def stand(cluster):
    with contextlib.closing(Stand(cluster)) as one:
        troubles.happen(one)
        yield one


@pytest.fixture(autouse=True)
def looked_after(well_behaved):
    """All of these tests look at the page."""


def search(browser, text):
    """As somebody pastes it."""
    browser.driver.execute_script("document.getElementById('q').value = arguments[0]; document.getElementById('q').focus()", text)
    browser.press(Keys.ENTER)


def shown(browser, selector="main"):
    return browser.text(selector).replace("\n", " ")


@contextlib.contextmanager
def slow(browser, ms):
    """Meanwhile every answer takes so long."""
    browser.driver.execute_cdp_cmd("Network.enable", {})
    conditions = {"offline": False, "downloadThroughput": -1, "uploadThroughput": -1}
    browser.driver.execute_cdp_cmd("Network.emulateNetworkConditions", {**conditions, "latency": ms})
    try:
        yield
    finally:
        browser.driver.execute_cdp_cmd("Network.emulateNetworkConditions", {**conditions, "latency": 0})


# --- ten complaints ---------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("complaint", troubles.COMPLAINTS)
def test_complaint(browser, complaint):
    """The reason and the remedy are on the screen within three clicks, the search being one, and in time."""
    quoted, clicks, reasons, remedy = troubles.COMPLAINTS[complaint]
    browser.go("#/overview")
    began = time.monotonic()
    search(browser, quoted)
    for label in clicks:
        selector = "main a, main summary"
        browser.wait(lambda: any(e.text == label for e in browser.driver.find_elements(By.CSS_SELECTOR, selector)), label)
        next(e for e in browser.driver.find_elements(By.CSS_SELECTOR, selector) if e.text == label).click()
    for reason in reasons:
        browser.wait(lambda: reason in shown(browser), reason)
    if remedy is not None:
        browser.wait(lambda: remedy in shown(browser, "pre"), remedy)
    assert 1 + len(clicks) <= MOST_CLICKS and time.monotonic() - began < MOST_SECONDS


@pytest.mark.parametrize("quoted", ["pay_mover_1", "mover_2", "sub_mover", "cus_mover", "mover", "NEW.address@example.com", "old.address@*"])
def test_whatever_is_quoted(stand, browser, quoted):
    """All that bagelpay.find() finds, and why it matched."""
    assert {row[0] for row in stand.query("SELECT order_id FROM bagelpay.find(%s)", quoted)} == {"mover"}
    search(browser, quoted)
    browser.wait(lambda: browser.text(".verdict h2 .id") == "mover", "the order")
    assert quoted.rstrip("*").lower() in browser.text(".matched").lower()


def test_never_cut_silently(browser):
    browser.go("#/find?q=well1")
    browser.wait_text("Many names begin with “well1”, and not all of them may be here: type more.")
    browser.go("#/find?q=" + "x" * 501)
    browser.wait_text("This is longer than any id: 501 characters.")
    search(browser, " <> ")
    assert browser.heading().startswith("Results for xxx"), "nothing is asked for"
    browser.go("#/order/live/" + "x" * 2048)
    browser.wait_text("This is longer than any id: 2,048 bytes.")


def test_names_with_brackets(stand, browser):
    """What is around a name may be a part of it: links lead to exactly what they show, and so does what is typed."""
    assert stand.deliver(troubles.buy("order (2)", "brackets@example.com", 0, metadata={"order_id": "order (2)", "user_id": "{3F25-04E0}"})).status == 200
    search(browser, "order (2)")
    browser.wait(lambda: browser.text(".verdict h2 .id") == "order (2)" and browser.heading() == "Results for order (2)", "the order")
    browser.go("#/customer/user/%7B3F25-04E0%7D")
    browser.wait(lambda: browser.count(".verdict") == 1, "the user")


# --- navigation and freshness -----------------------------------------------------------------------------------------

def test_the_old_answer_goes_at_once(browser):
    """While a search runs, the heading has the question, and nothing is left of the customer before; late answers are dropped."""
    browser.go("#/find?q=receipt@example.com")
    browser.wait_text("It was bought and paid for")
    with slow(browser, 1500):
        search(browser, "back@example.com")
        browser.wait(lambda: browser.heading() == "Results for back@example.com", "the question")
        assert browser.busy() and "receipt@example.com" not in browser.text("body") and browser.count(".verdict") == 0
        search(browser, "fight@example.com")
        browser.wait_text("The customer disputed the payment on")
        browser.wait(lambda: not browser.busy(), "the answer")
        # The answer to the question before would have come by now.
        assert browser.heading() == "Results for fight@example.com" and "The money went back" not in browser.text()


def test_a_verdict_changes_by_itself(stand, browser):
    """At the moment at which access ends, without anybody doing anything."""
    stand.query("SELECT bagelpay.grant('brief', 'brief@example.com', 'prod_brief', clock_timestamp() + interval '6 seconds')")
    browser.go("#/customer/email/brief@example.com")
    browser.wait(lambda: browser.text(".answer") == "Entitled", "access")
    assert re.match(r"As of \d\d:\d\d:\d\d UTC$", browser.text("#as-of"))
    browser.wait(lambda: browser.text(".answer") == "Not entitled" and "An operator’s grant of" in browser.text(".why"), "its end")


def test_ages_count_on_while_the_database_is_away(stand, browser):
    """What is shown says that it is old, and looks like it."""
    browser.go("#/order/live/receipt")
    browser.wait_text("It was bought and paid for")
    with browser.cut_off("*/api/*"):
        browser.wait_text("The console does not answer. Trying again.", "#trouble")
        browser.wait(lambda: re.match(r"Not current: as of .* seconds ago\.$", browser.text("#as-of")), "its age")
        before = browser.text("#as-of")
        browser.wait(lambda: browser.text("#as-of") != before, "the age to count on")
        assert browser.driver.execute_script("return getComputedStyle(document.querySelector('.sheet')).borderTopStyle") == "dashed"
    browser.wait(lambda: browser.text("#as-of").startswith("As of") and not browser.find("#trouble").is_displayed(), "the present")


# --- the customer -----------------------------------------------------------------------------------------------------

def test_a_customer(browser):
    """Addresses and ids over time, verdicts, windows past now, payments, orders, events; all of them links."""
    browser.go("#/order/live/mover")
    browser.wait_text("It is paid for until")
    browser.find("dd a[href='#/customer/customer/cus_mover']").click()
    browser.wait_text("Addresses and ids")
    names = browser.text("[aria-label='Addresses and ids'] tbody")
    assert [name for name in ("cus_mover", "old.address@example.com", "new.address@example.com") if name in names] == ["cus_mover", "old.address@example.com", "new.address@example.com"]
    assert browser.text(".answer") == "Entitled"
    browser.wait(lambda: browser.count("svg rect.paid") == 2 and browser.count("svg .now") == 1, "the windows")
    now = float(browser.find("svg .now").get_attribute("x1"))
    assert any(float(bar.get_attribute("x")) < now < float(bar.get_attribute("x")) + float(bar.get_attribute("width")) for bar in browser.driver.find_elements(By.CSS_SELECTOR, "svg rect.paid"))
    assert "pay_mover_2" in browser.text("[aria-label=Payments]") and "mover_1" in browser.text("[aria-label=Events]")
    browser.go("#/customer/email/never@example.com")
    browser.wait_text("Your application expected the order")
    browser.go("#/customer/nix/x")
    browser.wait_text("This address names no customer.")


def test_test_purchases_are_muted(browser):
    browser.go("#/customer/email/tryout@example.com")
    browser.wait_text("Test purchases (1), which never entitle in live mode")
    assert browser.count(".verdict.muted") == 1 and browser.text(".answer") == "Entitled in test mode only"


# --- what you can do --------------------------------------------------------------------------------------------------

def test_remedies_run(stand, browser):
    """Each statement that is shown of a customer is complete: it runs as it is, as a role that may decide."""
    for order in ("receipt", "fight", "declined"):
        browser.go(f"#/order/live/{order}")
        browser.wait_text("This page cannot write.") if browser.count("details[open]") else browser.wait_text("What you can do")
        statements = browser.driver.execute_script("return [...document.querySelectorAll('.remedy pre')].map((e) => e.textContent)")
        assert statements
        with stand.connect(autocommit=False) as connection:
            connection.execute("SET ROLE bagelpay_app")
            for statement in statements:
                assert connection.execute(statement).fetchall(), statement
            connection.rollback()


@pytest.mark.parametrize("fragment, statement", [
    ("#/overview", "bagelhook redrive --all"), ("#/deliveries", "bagelhook-verify"), ("#/delivery/evt_receipt", "SELECT * FROM bagelpay.explain('receipt', 'live');"),
    ("#/dead-letters", "bagelhook redrive --id "), ("#/order/live/receipt", "bagelpay.revoke('receipt'"), ("#/customer/email/receipt@example.com", "bagelpay.revoke('receipt'")])
def test_remedies_are_everywhere(browser, fragment, statement):
    browser.go(fragment)
    browser.wait(lambda: any(statement in e.get_attribute("textContent") for e in browser.driver.find_elements(By.CSS_SELECTOR, "details.do pre")), statement)


def test_copying(browser):
    """A button at each statement, id and body puts it on the clipboard, as it is."""
    browser.driver.execute_cdp_cmd("Browser.grantPermissions", {"origin": browser.origin, "permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]})
    browser.go("#/order/live/fight")
    browser.wait_text("dispute_won", ".remedy pre")
    browser.find(".remedy .copy").click()
    browser.wait_text("Copied Once the dispute of pay_fight is won", "#said")
    assert browser.driver.execute_async_script("navigator.clipboard.readText().then(arguments[0])") == browser.text(".remedy pre").split("\n")[0]
    browser.go("#/delivery/evt_fight")
    browser.wait_text("Body")
    browser.driver.find_elements(By.CSS_SELECTOR, ".command .copy")[-1].click()
    browser.wait(lambda: json.loads(browser.driver.execute_async_script("navigator.clipboard.readText().then(arguments[0])"))["event_id"] == "evt_fight", "the body")


# --- deliveries -------------------------------------------------------------------------------------------------------

def test_one_line_a_row(browser):
    browser.go("#/deliveries?type=checkout.completed")
    browser.wait(lambda: browser.count("tbody tr") >= 5, "rows")
    heights = browser.driver.execute_script("return [...document.querySelectorAll('tbody tr')].map((r) => Math.round(r.getBoundingClientRect().height))")
    assert max(heights) - min(heights) <= 1 and max(heights) < 45
    row = next(line for line in browser.text("tbody").splitlines() if "receipt" in line)
    assert "checkout.completed" in row and "receipt@example.com" in row and "Pro" in row and "49" in row and "applied" not in row
    assert "2 dead letters are not shown." in browser.text() and "Order (exact id)" in browser.text(".filters")


def test_rows_stay_under_the_pointer(stand, browser):
    """What comes is counted while somebody points at the list, and is there when they leave."""
    browser.go("#/deliveries")
    browser.wait(lambda: browser.count("tbody tr") == 50, "rows")
    browser.driver.execute_cdp_cmd("Input.dispatchMouseEvent", {"type": "mouseMoved", "x": 600, "y": 500})
    browser.wait(lambda: browser.driver.execute_script("return document.querySelector('tbody').matches(':hover')"), "the pointer on it")
    before = browser.text("tbody tr")
    for number in range(5):
        assert stand.deliver(troubles.buy(f"hover_{number}", "hover@example.com", 0)).status == 200
    browser.wait_text("5 new", ".newer")
    assert browser.text("tbody tr") == before
    browser.driver.execute_cdp_cmd("Input.dispatchMouseEvent", {"type": "mouseMoved", "x": 600, "y": 20})
    browser.wait(lambda: "hover_4" in browser.text("tbody") and not browser.find(".newer").is_displayed(), "them")


def test_back_to_the_list(browser):
    """Back has the rows, older ones included, and their place."""
    browser.go("#/deliveries?mode=live")
    browser.wait(lambda: browser.count("tbody tr") == 50, "rows")
    browser.find(".more button").click()
    browser.wait(lambda: browser.count("tbody tr") == 100, "older ones")
    link = browser.driver.find_elements(By.CSS_SELECTOR, "tbody tr td.time a")[80]
    browser.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", link)
    place, href = browser.driver.execute_script("return window.scrollY"), link.get_attribute("href")
    link.click()
    browser.wait_text("What it changed")
    assert browser.driver.execute_script("return window.scrollY") == 0
    browser.driver.back()
    browser.wait(lambda: browser.count("tbody tr") == 100, "the list")
    assert abs(browser.driver.execute_script("return window.scrollY") - place) < 3
    assert any(a.get_attribute("href") == href for a in browser.driver.find_elements(By.CSS_SELECTOR, "tbody tr td.time a"))


def test_export(browser, tmp_path):
    """What the filter lets through, as files."""
    browser.driver.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
    browser.go("#/deliveries?type=checkout.failed")
    browser.wait(lambda: browser.count("tbody tr") == 1, "the row")
    for button in browser.driver.find_elements(By.CSS_SELECTOR, ".export button"):
        button.click()
    harness.wait_until(lambda: {"deliveries.csv", "deliveries.json"} <= {path.name for path in tmp_path.iterdir()}, "the files")
    table = list(csv.DictReader((tmp_path / "deliveries.csv").read_text().splitlines()))
    assert [(row["id"], row["email"]) for row in table] == [("declined_f", "declined@example.com")]
    assert [row["order"] for row in json.loads((tmp_path / "deliveries.json").read_text())] == ["declined"]


# --- attention and dead letters ---------------------------------------------------------------------------------------

def test_attention(stand, browser):
    """Every row of the view, with what, who, since when and the remedy; the number in the title; dismissed ones apart."""
    rows = stand.query("SELECT kind, detail, remedy, order_id FROM bagelpay.attention")
    assert {"open_dispute", "unconfirmed", "double_subscription", "ignored_type", "unmatched", "dead_letter"} <= {row[0] for row in rows}
    browser.go("#/attention")
    browser.wait_text("Open disputes")
    remedies = browser.driver.execute_script("return [...document.querySelectorAll('li > .command pre')].map((e) => e.textContent)")
    assert sorted(remedies) == sorted(f"{remedy} --database dbname={stand.db}" if remedy.startswith("bagelhook ") else remedy for _, _, remedy, _ in rows)
    browser.driver.refresh()
    browser.wait(lambda: browser.driver.title == f"({len(rows)}) Attention · bagelhook", "the number")
    stand.query("SELECT bagelpay.dismiss(id, 'seen') FROM bagelpay.attention WHERE kind = 'ignored_type'")
    browser.go("#/attention")
    browser.wait_text("1 dismissed")
    browser.find(".dismissed > summary").click()
    browser.wait_text("Dismissed by postgres on", ".dismissed")
    assert "Events of an unknown type" not in browser.text("h2")


@pytest.mark.parametrize("q, found", [("BROKEN@example.com", "invalid"), ("broken", "invalid"), ("late_payer_1", "conflict"), ("object.mode", "invalid")])
def test_search_among_dead_letters(browser, q, found):
    browser.go("#/dead-letters")
    browser.wait(lambda: browser.count("tbody tr") == 2, "all")
    browser.find("[name=letters]").send_keys(q, Keys.ENTER)
    browser.wait(lambda: browser.count("tbody tr") == 1 and found in browser.text("tbody"), "the one")


def test_a_conflict(stand, browser):
    """The other event, and what differs, side by side."""
    browser.go("#/dead-letters?q=conflict")
    browser.wait(lambda: browser.count("tbody tr") == 1, "it")
    browser.find("tbody td a").click()
    browser.wait_text("Compared with the stored event")
    assert shown(browser, "[aria-label=Differences] tbody").split() == ["object.order.amount", '"99.00"', '"12.00"']
    assert browser.count("a[href='#/delivery/late_payer_1']") > 0
    statement = browser.text("details.do pre")
    with stand.connect(autocommit=False) as connection:
        connection.execute("SET ROLE bagelpay_app")
        assert [row[1] for row in connection.execute(statement).fetchall()] == ["dead_letter"]
        connection.rollback()


# --- the overview and the timeline ------------------------------------------------------------------------------------

def test_charts_by_keyboard_and_pointer(browser):
    """Each column can be read; a single failure among thousands has a mark of the same size as any."""
    browser.go("#/overview?range=30d")
    chart = "[aria-label='Received and committed']"
    browser.wait(lambda: browser.find(chart).is_displayed() and browser.count(f"{chart} .bar") > 5, "the bars")
    assert browser.count(f"{chart} .failure") == 1
    box = browser.driver.execute_script("const b = document.querySelector(arguments[0]).getBBox(); return [b.width, b.height]", f"{chart} .failure")
    assert min(box) >= 12
    browser.driver.execute_script("document.querySelector(arguments[0]).focus()", chart)
    browser.press(Keys.HOME)
    first = browser.find(chart).get_attribute("aria-valuetext")
    browser.press(Keys.ARROW_RIGHT)
    second = browser.find(chart).get_attribute("aria-valuetext")
    assert first != second and re.match(r"\d{4}-\d\d-\d\d \d\d:00:00 UTC, 8 h: [\d,]+ events? committed, 0 dead letters$", first)
    browser.press(Keys.END)
    assert browser.find(chart).get_attribute("aria-valuetext").endswith("2 dead letters")
    left = browser.driver.execute_script("document.querySelector(arguments[0]).scrollIntoView({block: 'center'}); const b = document.querySelector(arguments[0]).getBoundingClientRect(); return [b.left + b.width / 2, b.top + b.height / 2]", chart)
    browser.driver.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": left[0], "y": left[1]}]})
    browser.driver.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    browser.wait(lambda: not browser.find(chart).get_attribute("aria-valuetext").endswith("2 dead letters"), "the column that was touched")
    for name in ("Revenue by day, EUR", "Subscriptions by day", "From event to receipt"):
        browser.wait(lambda: browser.find(f"[aria-label='{name}']").is_displayed(), name)
    assert "of the last 50 events" in browser.find("[aria-label='From event to receipt'] svg").get_attribute("aria-label") or \
        re.search(r"of the last \d+ event", browser.find("[aria-label='From event to receipt'] svg").get_attribute("aria-label"))
    # No empty charts.
    browser.go("#/overview?range=2h")
    browser.wait_text("A range is 1h, 24h, 7d or 30d.")


@pytest.mark.parametrize("width", [1280, 820, 390])
def test_the_timeline_stays_within_its_place(browser, width):
    """Nothing overruns; cancellations and refunds are marked on the windows."""
    browser.size(width, 900)
    browser.go("#/order/live/leaver")
    browser.wait(lambda: browser.count("svg .touch-mark") == 2, "two marks")
    assert browser.driver.execute_script("return [...document.querySelectorAll('svg .touch-mark + text')].map((t) => t.textContent).sort().join()") == "C,R"
    beyond = browser.driver.execute_script("""
        const svg = document.querySelector('.drawing svg'); const box = svg.getBoundingClientRect();
        return [...svg.querySelectorAll('rect, text, circle, path')].filter((e) => { const b = e.getBoundingClientRect(); return b.left < box.left - 1 || b.right > box.right + 1; })
            .map((e) => e.outerHTML)""")
    assert beyond == []


# --- zones ------------------------------------------------------------------------------------------------------------

def test_local_time(browser):
    """A switch, which is kept; every moment has its zone, and a tip with both."""
    browser.driver.execute_cdp_cmd("Emulation.setTimezoneOverride", {"timezoneId": "Asia/Kolkata"})
    try:
        browser.go("#/order/live/receipt")
        browser.wait_text("It was bought and paid for")
        iso = browser.find(".verdict time").get_attribute("datetime")
        utc = datetime.datetime.fromisoformat(iso)
        assert browser.text(".verdict time") == f"{utc:%Y-%m-%d %H:%M:%S} UTC"
        browser.find("#zone").click()
        local = f"{utc + datetime.timedelta(hours=5, minutes=30):%Y-%m-%d %H:%M:%S} UTC+5:30"
        browser.wait(lambda: browser.text(".verdict time") == local, "local time")
        assert browser.find(".verdict time").get_attribute("title") == f"{utc:%Y-%m-%d %H:%M:%S} UTC = {local}"
        browser.driver.refresh()
        browser.wait(lambda: browser.text(".verdict time") == local, "local time again")
        bare = browser.driver.execute_script("return [...document.querySelectorAll('time')].filter((t) => !/UTC/.test(t.textContent)).length")
        assert bare == 0 and browser.text("#zone") == "Local time (UTC+5:30)"
        browser.go("#/deliveries")
        zones = "return [...new Set([...document.querySelectorAll('tbody time')].map((t) => t.title.includes(` = `) && /UTC[^ ]*$/.exec(t.textContent)?.[0]))].join()"
        browser.wait(lambda: browser.driver.execute_script(zones) == "UTC+5:30", "rows in local time")
        browser.find("#zone").click()
        browser.wait(lambda: browser.text("#zone") == "UTC", "UTC again")
        browser.wait(lambda: browser.driver.execute_script(zones) == "UTC", "rows in UTC")
    finally:
        browser.driver.execute_cdp_cmd("Emulation.setTimezoneOverride", {"timezoneId": ""})


# --- for everybody ----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("fragment", ["#/find?q=fight@example.com", "#/customer/email/twice@example.com", "#/order/live/leaver", "#/attention", "#/overview?range=7d"])
def test_axe_with_everything_open(browser, axe, fragment):
    """In each width and theme, at 200 % (half the width), with all that can be opened open, and the focus on a chart or button."""
    browser.go(fragment)
    browser.wait(lambda: not browser.busy(), fragment)
    browser.driver.execute_script("document.querySelectorAll('details').forEach((d) => { d.open = true; }); document.querySelector('.chart, .copy')?.focus()")
    for size, scheme in (((1280, 900), "light"), ((640, 450), "dark"), ((820, 900), "light"), ((390, 800), "dark")):
        browser.size(*size)
        browser.scheme(scheme)
        assert browser.overflow() == 0
        assert browser.violations(axe) == []
