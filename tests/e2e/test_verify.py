"""bagelhook-verify: what it finds, what it stores, what it mends; a month of a shop, and ten thousand transactions."""

import datetime
import json
import os
import random
import re
import shutil
import subprocess
import time

import pytest

import bagelpay_api
import harness
from bagelpay_api import DAY, KEY, Shop


@pytest.fixture(scope="module")
def authority():
    one = harness.Authority()
    yield one
    one.close()


@pytest.fixture(scope="module")
def logins(cluster):
    """Logins: one that may store, one that may also grant, and one that may only read."""
    cluster.drop_database(cluster.create_database())
    with cluster.connect() as connection:
        for name, roles in (("shop_verify", "bagelpay_verify"), ("shop_apply", "bagelpay_verify, bagelpay_app"), ("shop_reads", "bagelpay_reader")):
            connection.execute(f"DO $$ BEGIN CREATE ROLE {name} LOGIN IN ROLE {roles}; EXCEPTION WHEN duplicate_object THEN NULL; END $$")


class Place:
    """A database and an API to compare it with."""

    def __init__(self, cluster, authority, directory):
        self.cluster, self.authority, self.directory = cluster, authority, directory
        self.db = cluster.create_database()
        self.api = bagelpay_api.Api(authority)
        self.key_file = directory / "key"
        self.key_file.write_text(KEY + "\n")
        self.key_file.chmod(0o600)

    def serve(self, shop):
        self.api.lists["transactions"], self.api.lists["subscriptions"] = shop.lists()

    def load(self, events):
        bagelpay_api.load(self.cluster, self.db, events, self.directory)

    def query(self, sql, *parameters):
        with self.cluster.connect(self.db) as connection:
            cursor = connection.execute(sql, parameters or None)
            return cursor.fetchall() if cursor.description else []

    def run(self, *arguments, user="shop_verify", prefix=(), **options):
        """Runs the program; returns exit status, output and complaints."""
        command = [*prefix, harness.BUILD / "bagelhook-verify", "--url", self.api.url, "--ca-file", self.authority.certificate,
                   "--key-file", self.key_file, "--database", self.cluster.dsn(user, self.db), *arguments]
        done = subprocess.run([os.fspath(word) for word in command], capture_output=True, text=True, check=False, timeout=300,
                              env=harness.clean_environment(), **options)
        assert not re.search("Sanitizer|runtime error:", done.stderr), done.stderr
        assert KEY not in done.stdout + done.stderr
        return done.returncode, done.stdout, done.stderr

    def report(self, *arguments, **options):
        """The same with --json; returns exit status and document."""
        status, out, complaints = self.run("--json", *arguments, **options)
        assert complaints == ""
        return status, json.loads(out)

    def differences(self, *arguments):
        """What differs: kind, which transaction or subscription, what is here, what BagelPay says, and whether access is affected."""
        status, document = self.report(*arguments)
        found = [(one["kind"], one["provider_order_id"] or one["subscription_id"], one["ours"], one["theirs"], one["affects_access"])
                 for one in document["differences"]]
        assert status == (3 if found else 0)
        return found


@pytest.fixture
def place(cluster, authority, logins, tmp_path):  # pylint: disable=unused-argument
    one = Place(cluster, authority, tmp_path)
    yield one
    one.api.close()
    cluster.drop_database(one.db)


@pytest.fixture(scope="session")
def sdk(tmp_path_factory):
    """BagelPay's own client, from npm's registry; without it, what needs it is skipped."""
    directory = shutil.copytree(harness.SOURCE / "tests" / "e2e" / "sdk", tmp_path_factory.mktemp("sdk") / "sdk",
                                ignore=shutil.ignore_patterns("node_modules"))
    try:
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=directory, check=True, capture_output=True, timeout=harness.PATIENCE_S)
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"BagelPay's client cannot be had: {error}")
    return directory


def snake(item):
    """A listed item with the client's names as the API has them."""
    return {re.sub("[A-Z]", lambda letter: "_" + letter[0].lower(), name): snake(value) if isinstance(value, dict) else value
            for name, value in item.items()}


def test_stand_in(place, sdk):
    """BagelPay's own client reads from the stand-in what is in it, page by page, and is refused with another key."""
    shop = Shop().month(57, 23)
    place.serve(shop)
    command = ["node", sdk / "list.js", place.api.url]
    environment = harness.clean_environment(NODE_EXTRA_CA_CERTS=place.authority.certificate)
    done = subprocess.run([*command, KEY, "10"], capture_output=True, text=True, check=True, env=environment)
    for name, items in json.loads(done.stdout).items():
        listed = place.api.lists[name]
        assert len(items) == len(listed)
        # The client passes over null.
        for item, one in zip(items, listed):
            assert {member: value for member, value in snake(item).items() if value is not None} == {
                member: value for member, value in one.items() if value is not None}
    refused = subprocess.run([*command, "another"], capture_output=True, text=True, check=False, env=environment)
    assert refused.returncode != 0 and "Invalid key" in refused.stderr


def test_agreement(place):
    """Nothing differs: exit status 0, a run is stored, status shows it."""
    shop = Shop().month(250, 120)
    place.serve(shop)
    place.load(shop.events)
    status, out, complaints = place.run()
    assert (status, complaints) == (0, "")
    assert re.fullmatch(r"live, since [-\d:T.+ ]+\ntransactions: 250 compared, 250 agree\nsubscriptions: 120 compared, 120 agree\n0 differences\n", out)
    assert place.query("SELECT mode, transactions, subscriptions, agreed, differences, verified_by FROM bagelpay.verifications") == [
        ("live", 250, 120, 370, 0, "shop_verify")]
    assert set(place.api.keys) == {KEY}
    assert place.api.asked[0] == "/api/transactions/list?pageNum=1&pageSize=100"


def test_missed_day(place):
    """The webhook was unreachable for a day: what was paid then is reported, with what mends it, and nothing else."""
    shop = Shop().month(300, 100)
    missed = [event for event in shop.events if bagelpay_api.text(shop.now - 9 * DAY) <= event["created_at"] < bagelpay_api.text(shop.now - 8 * DAY)]
    place.serve(shop)
    place.load([event for event in shop.events if event not in missed])
    assert missed
    found = place.differences()
    paid = {event["object"]["order"]["order_id"] for event in missed if event["event_type"] != "subscription.canceled"}
    assert {one[1] for one in found if one[0] == "missing_payment"} == paid
    assert all(one[0] == "missing_payment" or one[0] == "status" for one in found)
    place.load(missed)
    assert place.query("SELECT count(*) FROM bagelpay.attention WHERE kind = 'drift'") == [(0,)]
    assert place.differences() == []


def expected(shop, missing):
    """What is to be found if some events are missing: kind and name."""
    gone = {event["event_id"] for event in missing}
    found = set()
    for event in missing:
        content = event["object"]
        if event["event_type"] != "subscription.canceled":
            found.add(("missing_payment", content["order"]["order_id"]))
    for event in missing:
        content = event["object"]
        if event["event_type"] == "subscription.canceled":
            paid = next(one for one in shop.events if one["event_type"] == "subscription.paid" and one["object"]["customer"]["id"] == content["customer"]["id"])
            # Without its payment, there is nothing that could be cancelled.
            if paid["event_id"] not in gone:
                found.add(("status", f"sub_{content['customer']['id']}"))
    return found


def test_month(place):
    """A month of a shop, of which a random tenth of the events never came: each is found, and nothing else; afterwards, all agrees."""
    seed = random.randrange(10 ** 6)
    print(f"seed {seed}")
    shop = Shop().month(3000, 800, seed)
    missing = random.Random(seed).sample(shop.events, len(shop.events) // 10)
    gone = {event["event_id"] for event in missing}
    place.serve(shop)
    place.load([event for event in shop.events if event["event_id"] not in gone])
    status, document = place.report()
    assert status == 3
    assert {(one["kind"], one["provider_order_id"] or one["subscription_id"]) for one in document["differences"]} == expected(shop, missing)
    assert len(document["differences"]) == len(expected(shop, missing))
    affected = {one["subscription_id"] for one in document["differences"] if one["kind"] == "missing_payment" and one["affects_access"]}
    # Whoever paid for a club that goes on, and is not let in.
    active = {f"sub_{event['object']['customer']['id']}" for event in missing if event["event_type"] == "subscription.paid"}
    assert affected == active
    assert document["transactions"]["agree"] == 3000 - sum(1 for kind, _ in expected(shop, missing) if kind == "missing_payment")
    rows = place.query("SELECT count(*), count(remedy) FROM bagelpay.attention WHERE kind = 'drift'")
    assert rows == [(len(document["differences"]),) * 2]
    place.load(missing)
    assert place.query("SELECT count(*) FROM bagelpay.attention WHERE kind = 'drift'") == [(0,)]
    assert place.differences() == []
    assert place.query("SELECT differences FROM bagelpay.verifications ORDER BY id")[1:] == [(0,)]


@pytest.mark.long
def test_ten_thousand(place):
    """Ten thousand transactions are compared within ten seconds beside the API's own time, in less than 64 MiB."""
    shop = Shop().month(10000, 2500)
    place.serve(shop)
    place.load([event for number, event in enumerate(shop.events) if number % 10 != 3])
    if harness.is_sanitized():
        assert place.run()[0] == 3
        return
    began = time.monotonic()
    for name, items in place.api.lists.items():
        for page in range(1, len(items) // 100 + 2):
            place.api.list(name, page, 100)
    api_s = time.monotonic() - began
    began = time.monotonic()
    status, out, _ = place.run("--json", prefix=["/usr/bin/python3", harness.SOURCE / "tests" / "e2e" / "peak.py"])
    took_s = time.monotonic() - began
    document, _, peak = out.rpartition("\n{")
    assert status == 3 and json.loads(document)["transactions"]["compared"] == 10000
    peak_kib = json.loads("{" + peak)["peak_kib"]
    print(f"{took_s:.1f} s, of which the API about {api_s:.1f} s; {peak_kib} KiB")
    assert peak_kib < 64 * 1024
    # Others' work on the machine takes its share.
    assert took_s - api_s < 10 * max(1, os.getloadavg()[0] / os.cpu_count())


def test_what_differs(place):
    """Pauses, seats, a cancellation that was taken back, refunds, amounts: what no webhook tells, or none told."""
    shop = Shop()
    for name in ("plain", "paused", "seats", "back", "refunded", "partly"):
        shop.renew(name, shop.now - 5 * DAY)
    shop.cancel("back", shop.now - 3 * DAY)
    _, dear = shop.sell("dear", shop.now - 4 * DAY)
    shop.subscriptions["sub_paused"]["status"] = "paused"
    shop.subscriptions["sub_seats"]["units"] = "7"
    shop.subscriptions["sub_back"].update(status="active", cancel_at=None)
    shop.transactions[4]["refunded_amount"] = "10.00"
    shop.transactions[5]["refunded_amount"] = 2.5
    dear.update(amount=20, amount_paid=20)
    place.serve(shop)
    place.load(shop.events)
    assert sorted(place.differences()) == sorted([
        ("status", "sub_paused", "active", "paused", False), ("units", "sub_seats", "1", "7", True), ("status", "sub_back", "canceled", "active", True),
        ("refund", "ORD_5", "0 USD refunded, paid", "10 USD refunded", True), ("refund", "ORD_6", "0 USD refunded, paid", "2.5 USD refunded", False),
        ("amount", "ORD_8", "19.99 USD", "20 USD", False)])
    _, words, _ = place.run()
    assert "status sub_paused prod_club paused paused@example.com\n  the subscription is active here, and paused at BagelPay\n" in words
    assert "6 differences: 1 amount, 2 refund, 2 status, 1 units\n" in words
    # Dismissed, they do not count.
    for remedy, in place.query("SELECT id FROM bagelpay.attention WHERE kind = 'drift'"):
        place.query("SELECT bagelpay.dismiss(%s, 'known')", remedy)
    status, words, _ = place.run()
    assert status == 0 and words.count("; dismissed\n") == 6


def test_apply(place):
    """With --apply, what is missing for a subscription is granted until the period's end; the grant goes when its payment comes."""
    shop = Shop()
    shop.renew("kept", shop.now - 5 * DAY)
    lost = [shop.renew("lost", shop.now - 5 * DAY)[0], shop.sell("book", shop.now - 5 * DAY)[0]]
    shop.renew("banned", shop.now - 33 * DAY)
    lost.append(shop.renew("banned", shop.now - 3 * DAY)[0])
    place.serve(shop)
    place.load([event for event in shop.events if event not in lost])
    place.query("SELECT bagelpay.revoke('shop_banned_prod_club', 'fraud')")
    status, _, complaints = place.run("--apply")
    assert (status, complaints) == (1, 'bagelhook-verify: --apply: GRANT bagelpay_app TO "shop_verify"; lets it grant\n')
    for number in (1, 0):
        status, document = place.report("--apply", user="shop_apply")
        assert (status, document["granted"], document["cleared"]) == (3, number, 0)
        assert {(one["provider_order_id"], one["affects_access"]) for one in document["differences"]} == {
            ("ORD_2", False), ("ORD_3", None), ("ORD_5", False)}
    assert place.query("SELECT order_id, reason, valid_until FROM bagelpay.entitlements WHERE entitled AND customer_email = 'lost@example.com'") == [
        ("order:ORD_2", "granted", (shop.now + 25 * DAY).replace(tzinfo=datetime.timezone.utc))]
    assert place.query("SELECT note FROM bagelpay.events WHERE event_type = 'operator.grant'") == [("bagelhook-verify: transaction ORD_2",)]
    place.load(lost)
    status, document = place.report("--apply", user="shop_apply")
    assert (status, document["granted"], document["cleared"]) == (0, 0, 1)
    assert place.query("SELECT order_id, reason FROM bagelpay.entitlements WHERE entitled AND customer_email = 'lost@example.com'") == [
        ("shop_lost_prod_club", "active")]
    # What an operator decided since stays.
    assert place.query("SELECT reason FROM bagelpay.entitlements WHERE customer_email = 'banned@example.com'") == [("revoked",)]


def test_readers_login(place):
    """A login that may only read compares, and says that nothing is stored."""
    shop = Shop().month(20, 10)
    place.serve(shop)
    place.load(shop.events)
    status, out, complaints = place.run(user="shop_reads")
    assert (status, complaints) == (0, 'bagelhook-verify: the result will not be stored: GRANT bagelpay_verify TO "shop_reads";\n')
    assert out.endswith("0 differences\n")
    assert place.query("SELECT count(*) FROM bagelpay.verifications") == [(0,)]
    status, out, complaints = place.run(user="bagelhook")
    assert (status, out) == (1, "") and "bagelpay_reader" in complaints


def test_edges(place):
    """Payments just before --since, and events that come while the lists are read, are no differences."""
    shop = Shop()
    since = shop.now - 10 * DAY
    for seconds in (-7200, -1, 0, 1, 7200):
        shop.sell(f"edge{seconds}", since + seconds * DAY / 86400)
    late = shop.sell("late", shop.now - DAY / 24 / 30)[0]
    place.serve(shop)
    place.load([event for event in shop.events if event is not late])
    listed = place.api.list

    def answer(name, page, size):
        # Listed already, while its event is on its way; and one whose event came, but which was listed before it.
        if name == "subscriptions":
            place.load([late])
        return listed(name, page, size)

    place.api.answer = answer
    moment = bagelpay_api.text(since).replace(" ", "T") + "Z"
    assert place.differences("--since", moment) == []
    place.api.lists["transactions"] = [one for one in place.api.lists["transactions"] if one["customer"]["id"] != "late"]
    assert place.differences("--since", moment) == []
    place.api.lists["transactions"] = [one for one in place.api.lists["transactions"] if one["customer"]["id"] != "edge7200"]
    assert [one[0] for one in place.differences("--since", moment)] == ["unlisted_payment"]


def test_zones(place):
    """Times without a zone are read in provider_timezone; a shop whose webhooks were read in another one has one difference."""
    shop = Shop(zone=8).month(60, 40)
    place.serve(shop)
    place.query("UPDATE bagelpay.settings SET provider_timezone = 'Asia/Shanghai'")
    place.load(shop.events)
    assert place.differences() == []
    place.query("UPDATE bagelpay.settings SET provider_timezone = 'UTC'")
    found = place.differences()
    assert [one[:2] + one[2:4] for one in found if one[0] == "zone"] == [("zone", None, "UTC", "16 half hours")]
    assert [one for one in found if one[0] not in ("zone",)] == []
    place.query("SELECT bagelpay.rebuild()")
    assert place.differences() == []


def test_stops_at_since(place):
    """A list that is sorted is not read beyond what is asked for; one that is not, to its end."""
    shop = Shop()
    for day in range(1, 400):
        shop.sell(f"c{day}", shop.now - day * DAY)
    place.serve(shop)
    place.load(shop.events)
    assert place.differences("--since", bagelpay_api.text(shop.now - 50 * DAY)[:10]) == []
    pages = sum(path.startswith("/api/transactions") for path in place.api.asked)
    assert pages == 2
    place.api.lists["transactions"].reverse()
    place.api.asked.clear()
    assert place.differences("--since", bagelpay_api.text(shop.now - 50 * DAY)[:10]) == []
    assert sum(path.startswith("/api/transactions") for path in place.api.asked) == 4
