"""README and documents: what they name is there, in the tree, the programs and the schema."""

import re
import shlex
import subprocess

import pytest

import harness
from test_manual import COMMANDS, said_by

DOCUMENTS = sorted([harness.SOURCE / "README.md", harness.SOURCE / "SECURITY.md", harness.SOURCE / "fcgi" / "DESIGN.md",
                    harness.SOURCE / "examples" / "README.md", *(harness.SOURCE / "docs").glob("*.md")])
# What begins with "bagelpay." in the documents and is nothing of the schema: a setting of a session, a file, domains.
NOT_IN_SCHEMA = {"drop_events", "dump", "invalid", "io"}
# Where a name may be without its directory.
NAMED_ALONE = ("tests/e2e", "tests/unit", "tests/sql", "nginx", "contrib/patroni", "contrib/reader")


def each(documents):
    return pytest.mark.parametrize("document", documents, ids=lambda path: path.name)


def prose(document):
    """The document without its blocks of code, where there are no links and no headings."""
    return re.sub(r"^(?: {4}|\t).*$", "", document.read_text(), flags=re.MULTILINE)


def spans(document):
    return [re.sub(r"\s+", " ", span) for span in re.findall(r"`([^`]+)`", prose(document))]


def commands(document):
    """The words of each command: of blocks, whose lines may go on behind a backslash, and of spans within the text."""
    blocks = re.findall(r"^ {4,}(\S.*)$", document.read_text().replace("\\\n", " "), re.MULTILINE)
    for command in [*blocks, *spans(document)]:
        try:
            words = shlex.split(command, comments=True)
        except ValueError:
            continue
        if words[:2] == ["sudo", "-u"]:
            del words[:3]
        yield words


def anchors(document):
    """What GitHub makes of the headings."""
    for heading in re.findall(r"^#+ (.*)$", prose(document), re.MULTILINE):
        yield re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def options_in(text):
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text))


@pytest.fixture(scope="module")
def options():
    """The options of each command that is ours."""
    found = {script: options_in(subprocess.run([harness.SOURCE / script, "--help"], capture_output=True, text=True,
                                               check=True).stdout) for script in ("scripts/run", "scripts/test")}
    found["bagelhook"] = set().union(*(options_in(said_by("bagelhook", *command)) for command in COMMANDS))
    for program in ("bagelhook-send", "bagelhook-console", "bagelhook-verify"):
        found[program] = options_in(said_by(program))
    for name in ("run", "grow", "large", "scale", "console"):
        # The benchmarks would install and build before they help.
        source = harness.SOURCE / "bench" / ("table.py" if name == "run" else f"{name}.py")
        found[f"bench/{name}"] = set(re.findall(r'add_argument\("(--[a-z-]+)"', source.read_text())) | {"--help"}
    return found


@each(DOCUMENTS)
def test_links(document):
    """Each link within the tree leads to a file, and to a heading of it where it says so."""
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(document)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = document.parent / path if path else document
        assert there.exists(), target
        assert not anchor or anchor in set(anchors(there)), target


def test_documents_are_found():
    """The first page leads to all the others."""
    readme = harness.SOURCE / "README.md"
    named = {(readme.parent / path).resolve() for path in re.findall(r"\]\(([\w/.-]+\.md)", readme.read_text())}
    assert named == {path.resolve() for path in DOCUMENTS if path != readme}


@each(DOCUMENTS)
def test_options_in(document, options):
    """Commands of ours are given options that they have; an option alone is one of some program of ours."""
    alone = set().union(*options.values())
    configure = (harness.SOURCE / "configure.ac").read_text()
    for words in commands(document):
        given = [word.partition("=")[0] for word in words[1:] if word.startswith("--")]
        if not words:
            continue
        if words[0] in options:
            assert set(given) <= options[words[0]], words
        elif re.match(r"--(enable|disable|with|without)-", words[0]):
            feature = re.match(r"--[a-z]+-([a-z-]+)", words[0])[1]
            assert re.search(rf"AC_ARG_(ENABLE|WITH)\(\[{feature}\]", configure), words
        elif options_in(words[0]):
            assert {words[0].partition("=")[0], *given} <= alone, words
        if words[0] == "scripts/test":
            assert set(words[1:]) - set(given) - {"PART…"} <= set(parts()), words


def parts():
    usage = subprocess.run([harness.SOURCE / "scripts" / "test", "--help"], capture_output=True, text=True,
                           check=True).stdout
    return re.search(r"^Parts: (.*)$", usage, re.MULTILINE)[1].split() + re.search(
        r"^With --full also: (.*)$", usage, re.MULTILINE)[1].split()


def test_parts():
    """Each part of scripts/test has its row, and no other."""
    tables = re.split(r"^## ", (harness.SOURCE / "docs" / "development.md").read_text(), flags=re.MULTILINE)[2]
    rows = re.findall(r"^\| (`.*?) \|", tables, re.MULTILINE)
    assert sorted(re.findall(r"`([a-z0-9-]+)`", " ".join(rows))) == sorted(parts())


def test_table_of_options():
    """docs/operation.md has each option with its argument, its variable and its default."""
    table = {option: (argument, variable, default) for option, argument, variable, default in re.findall(
        r"^\| `(--[a-z-]+) ?([A-Z]*)` \| `?(\w*)`? ?\| (.*?) ?\|",
        (harness.SOURCE / "docs" / "operation.md").read_text(), re.MULTILINE)}
    said = re.findall(r"^  (--[a-z-]+) ?(\S*)\n      (.*)\n(?:      (BAGELHOOK_\w+))?", said_by("bagelhook"), re.MULTILINE)
    assert set(table) == {option for option, *_ in said} - {"--help", "--version"}
    for option, argument, text_of_it, variable in said:
        if option in table:
            default = re.search(r"default (\w+)\)", text_of_it)
            assert table[option][:2] == (argument if argument.isupper() or not argument else "WORD", variable)
            assert default is None or table[option][2] == default[1], option


@each(DOCUMENTS)
def test_files_in(document):
    """Files of the tree that the text names are there."""
    top = {path.name for path in harness.SOURCE.iterdir() if path.is_dir() and not path.name.startswith(".")}
    for span in spans(document):
        if re.fullmatch(r"[\w.-]+(/[\w.-]+)*/?", span) and span.split("/")[0] in top and "/" in span:
            # A program may be named, which its source makes.
            assert (harness.SOURCE / span).exists() or (harness.SOURCE / f"{span}.c").exists(), span
        elif re.fullmatch(r"(test|check)_\w+\.(py|c)|\w+\.sql|[\w-]+\.conf", span):
            assert any((harness.SOURCE / place / span).exists() for place in NAMED_ALONE), span


def test_schema_in(cluster):
    """What the documents name of the schema is there; the settings have their rows, with the defaults that they have."""
    named = {name for document in DOCUMENTS for name in re.findall(r"\bbagelpay\.(\w+)\b", document.read_text())
             if not name.endswith("_")} - NOT_IN_SCHEMA
    roles = {name for document in DOCUMENTS for name in re.findall(r"\bbagelpay_[a-z]+\b", document.read_text())}
    rows = re.findall(r"^\| `(\w+)` \| `?(.*?)`? \|", (harness.SOURCE / "docs" / "settings.md").read_text(), re.MULTILINE)
    settings = {name: default for name, default in rows if not name.startswith("bagelpay_")}
    with cluster.connect(cluster.create_database()) as connection:
        known = {name for name, in connection.execute(
            "SELECT proname FROM pg_proc WHERE pronamespace = 'bagelpay'::regnamespace"
            " UNION SELECT relname FROM pg_class WHERE relnamespace = 'bagelpay'::regnamespace"
            " UNION SELECT typname FROM pg_type WHERE typnamespace = 'bagelpay'::regnamespace")}
        assert named and named - known == set()
        assert roles - {"bagelpay_orders", "bagelpay_internal"} <= {name for name, in connection.execute("SELECT rolname FROM pg_roles")}
        in_force = dict(connection.execute("SELECT key, value FROM bagelpay.settings AS s, jsonb_each_text(to_jsonb(s))"
                                           " WHERE key <> 'singleton'").fetchall())
        in_force["order_key"], in_force["user_key"] = connection.execute(
            "SELECT order_key::text, user_key::text FROM bagelpay.settings").fetchone()
    assert settings == in_force
