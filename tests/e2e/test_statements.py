"""README and documents: the statements that they show can be run, and have the answers that they show."""

import hashlib
import itertools
import json
import re
import shlex
import subprocess
import textwrap

import pytest

import harness
from sending import send
from test_documents import DOCUMENTS

STATE = harness.SOURCE / "docs" / "state.md"
# Statements that a page relies on, beside the data of scripts/run.
PREPARED = {
    "adopting.md": "CREATE TABLE customers (email text, product_id text, paid_until timestamptz);",
    "managed.md": "CREATE TABLE public.users (id bigint, name text); CREATE ROLE shop;",
    # The page's login, with a schema of its own.
    "recipes.md": "CREATE ROLE shop LOGIN IN ROLE bagelpay_app; CREATE SCHEMA shop AUTHORIZATION shop;"
                  "SET SESSION AUTHORIZATION shop;",
}
# A line of an example: moment, type, fields.
EVENT = re.compile(r"(\d{4}-\d\d-\d\d(?: \d\d:\d\d(?::\d\d)?)?)  ([a-z_]+\.[a-z_]+) *(.*)")
SQL = re.compile(r"(--.*\n)*(\\set|SELECT|INSERT|UPDATE|DELETE|CREATE|WITH|LISTEN|CALL|BEGIN|LOCK|SET|GRANT|ALTER)\b")


def paragraphs(text):
    """The paragraphs of indented blocks, and of blocks that say that they are SQL."""
    text = re.sub(r"^```sql\n(.*?)^```$", lambda block: textwrap.indent(block[1], "    "), text,
                  flags=re.MULTILINE | re.DOTALL)
    for block in re.findall(r"(?:^ {4,}\S.*\n|^\n)+", text, re.MULTILINE):
        yield from filter(None, textwrap.dedent(block).strip("\n").split("\n\n"))


def is_table(paragraph):
    return re.match(r".*\n-+(\+-+)*(\n|$)", paragraph) is not None


def lines(table):
    return [line.rstrip() for line in table.splitlines()]


def cells(table):
    return [[cell.strip() for cell in line.split("|")] for line in table.splitlines()]


def of_psql(line):
    """The statements in commands that run psql, also in such that another command runs."""
    try:
        words = shlex.split(line)
    except ValueError:
        return
    if "copy" in words:
        # For the database of a copy, see test_copies.py.
        return
    for option, value in itertools.pairwise(words):
        if option == "-c" and value.startswith("psql "):
            yield from of_psql(value)
        elif option == "-c" and "psql" in words:
            yield value
    yield from (word.partition("=")[2] for word in words if word.startswith("--command=") and "psql" in words)


def steps(document):
    """Pairs of statements and the table that follows, if any."""
    found = []
    for paragraph in paragraphs(document.read_text()):
        if SQL.match(paragraph):
            found.append([paragraph, None])
        elif is_table(paragraph) and found and found[-1][1] is None:
            found[-1][1] = lines(paragraph)
        else:
            commands = paragraph.replace("\\\n", " ").splitlines()
            found += [[f"{statement};", None] for command in commands for statement in of_psql(command)]
    return found


WITH_STATEMENTS = [document for document in DOCUMENTS if document != STATE and steps(document)]


@pytest.fixture(scope="module")
def sampled():
    """A cluster of its own, whose database samples has what scripts/run delivers; with no login but the administrator."""
    with harness.Cluster() as cluster:
        with harness.Stack(cluster) as stack:
            samples = sorted(harness.SAMPLES.glob("*.json"))
            story = ["--story", "renewals", "--email", "ada@example.com"]
            for arguments in ([stack.url, "--", *samples], [*story, stack.url]):
                assert send(*arguments, secret=stack.responder.secret_path)[0] == 0
            assert stack.responder.stop() == 0
            with cluster.connect() as connection:
                connection.execute(f'CREATE DATABASE samples TEMPLATE "{stack.db}"')
        with cluster.connect() as connection:
            connection.execute("DROP ROLE bagelhook, bagelhook_console")
        yield cluster


@pytest.fixture
def db(sampled):
    """A copy of the database samples. Roles that the test creates are dropped with it."""
    with sampled.connect() as connection:
        connection.execute("CREATE DATABASE page TEMPLATE samples")
        roles = connection.execute("SELECT array_agg(rolname) FROM pg_roles").fetchone()[0]
        yield "page"
        sampled.drop_database("page")
        for role, in connection.execute("SELECT rolname FROM pg_roles WHERE rolname <> ALL (%s)", (roles,)).fetchall():
            connection.execute(f'DROP ROLE "{role}"')


def last_table(answer):
    return lines(answer.rstrip("\n").rpartition("\n\n")[2])


def psql(cluster, db, script):
    """Runs a script; returns the aligned tables that it prints, without footers, each followed by an empty line."""
    done = subprocess.run(
        [cluster.program("psql"), "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--pset=footer=off", cluster.dsn(db=db)],
        input=script, capture_output=True, text=True, check=False, env=harness.clean_environment(PGTZ="UTC"))
    assert done.returncode == 0, done.stderr
    return done.stdout


def check(cluster, db, steps, prepared=""):
    """Runs statements in one session; each that has a table must print it."""
    printed = psql(cluster, db, prepared + "".join(f"\\echo <step>\n{statement}\n" for statement, _ in steps))
    for (statement, table), answer in zip(steps, printed.split("<step>\n")[1:], strict=True):
        assert table is None or last_table(answer) == table, statement


def ingest(order_id, events):
    """A statement that ingests the lines of an example as the responder does."""
    rows = []
    for at, event_type, fields in (EVENT.fullmatch(line).groups() for line in events):
        row = {"event_type": event_type, "mode": "live", "occurred_at": f"{at}+00", "customer_id": "ann",
               "product_id": "club", "billing_type": "subscription", "metadata": {"order_id": order_id}}
        row |= dict(field.split("=") for field in fields.split())
        # Only the example's own customer has an e-mail.
        row["customer_email"] = "ann@example.com" if row["customer_id"] == "ann" else "-"
        row = {name: value for name, value in row.items() if value != "-"}
        digest = "\\x" + hashlib.sha256(json.dumps(row).encode()).hexdigest()
        rows.append({"event_id": digest, "digest": digest, **row})
    bodies = ", ".join(f"'{json.dumps(row)}'" for row in rows)
    return f"SELECT bagelpay.ingest('{json.dumps(rows)}', ARRAY[{bodies}]::bytea[]);\n"


def examples():
    """Yields the heading, the order id and the paragraphs of each example of docs/state.md."""
    for section in re.split(r"^### ", STATE.read_text(), flags=re.MULTILINE)[1:]:
        heading, _, text = section.partition("\n")
        yield heading, heading.lower().replace(" ", "-"), list(paragraphs(text))


EXAMPLES = list(examples())


@pytest.mark.parametrize("document", WITH_STATEMENTS, ids=lambda path: str(path.relative_to(harness.SOURCE)))
def test_statements_in(document, sampled, db):
    prepared = PREPARED.get(document.name, "")
    if document.name == "attention.md":
        # Its row is of the example in which two customers share an order.
        example, = [example for example in EXAMPLES if example[0] == "Two customers in one order"]
        prepared = ingest(example[1], example[2][0].splitlines())
    # An administrator runs statements that need the owner's role.
    check(sampled, db, [("RESET SESSION AUTHORIZATION;\n" * ("bagelpay_owner" in statement) + statement, table)
                        for statement, table in steps(document)], prepared)


def test_pages_are_found():
    """Pages do not lose their statements unnoticed."""
    assert {document.name for document in WITH_STATEMENTS} >= {
        "README.md", "adopting.md", "attention.md", "backup.md", "console.md", "copies.md", "recipes.md",
        "retention.md", "settings.md", "webservers.md"}


@pytest.mark.parametrize("arrival", [1, -1], ids=["in order", "reversed"])
@pytest.mark.parametrize("order_id, parts", [rest for _, *rest in EXAMPLES], ids=[heading for heading, *_ in EXAMPLES])
def test_worked_example(order_id, parts, arrival, sampled, db):
    """The events of an example, and its statements, have the answers of its tables, by the question of the page."""
    question = re.search(r"^ {4}SELECT t, .*?;$", STATE.read_text(), re.MULTILINE | re.DOTALL)[0]
    found = []
    for part in parts:
        if is_table(part):
            columns, _, *rows = cells(part)
            asked = re.sub("SELECT .*", f"SELECT {', '.join(columns)}", question)
            moments = ",".join(dict.fromkeys(row[0] for row in rows))
            asked = asked.replace("2025-01-11,2025-02-02", moments)
            found.append((asked.replace("failed-upgrade", order_id), lines(part)))
        elif SQL.match(part):
            found.append((part, None))
        else:
            found += [(ingest(order_id, [line]), None) for line in part.splitlines()[::arrival]]
    assert any(table for _, table in found)
    check(sampled, db, found)


def test_example_output(sampled, db):
    """README's example of what scripts/run prints, without some columns and those who were not entitled."""
    table, = filter(is_table, paragraphs((harness.SOURCE / "README.md").read_text()))
    columns, _, *rows = cells(table)
    shown = [number for number, column in enumerate(columns) if column != "…"]
    selected = ", ".join(columns[number] for number in shown).replace("valid_until", "valid_until::timestamptz(0)")
    answer = psql(sampled, db, f"""
        SELECT {selected}
        FROM bagelpay.entitlements_at('2025-09-14 12:00 UTC', 'test')
        WHERE entitled
        ORDER BY order_id, product_id""")
    assert cells(answer.strip())[2:] == [[row[number] for number in shown] for row in rows]


@pytest.mark.long
def test_backup(sampled, db, tmp_path):
    """The commands of docs/backup.md make the same entitlements on another server."""
    page = (harness.SOURCE / "docs" / "backup.md").read_text()
    block, = re.findall(r"^ {4}pg_dumpall .*\n(?:^ {4}.*\n|^\n)*", page, re.MULTILINE)
    here, there = textwrap.dedent(block).split("# on the other server\n")

    def run(commands, cluster):
        environment = harness.clean_environment(PGHOST=cluster.host, PGPORT=cluster.port, PGUSER="postgres")
        # The server's own programs come first; those of a wrapper would choose by its own rules.
        environment["PATH"] = f"{cluster.bin}:{environment['PATH']}"
        return subprocess.run(["bash", "-euc", commands], cwd=tmp_path, check=True, capture_output=True, text=True,
                              env=environment).stdout

    question = "SELECT t::text FROM bagelpay.entitlements_test AS t ORDER BY 1"
    with sampled.connect() as connection:
        connection.execute(f'ALTER DATABASE "{db}" RENAME TO bagelpay')
    try:
        run(here, sampled)
        with harness.Cluster() as other:
            # The last command starts a responder's check.
            assert re.search(r"rebuild\s+-+\s+0\n", run(there.partition("bagelhook --check")[0], other))
            with sampled.connect("bagelpay") as connection, other.connect("bagelpay") as restored:
                assert restored.execute(question).fetchall() == connection.execute(question).fetchall() != []
    finally:
        with sampled.connect() as connection:
            connection.execute(f'ALTER DATABASE bagelpay RENAME TO "{db}"')
