"""The manual: well-formed, and of one mind with what the programs say of themselves."""

import re
import subprocess

import pytest

import harness

# What the program bagelhook is told first.
COMMANDS = ([], ["redrive"], ["import"], ["export"], ["adopt"], ["status"])
PAGES = ("bagelhook.8", "bagelhook-console.8", "bagelhook-send.1", "bagelhook-verify.8", "bagelpay.7")


def text(page):
    """The page as it is read, without line breaks."""
    done = subprocess.run(["mandoc", "-T", "utf8", "-O", "width=1000", harness.SOURCE / "man" / page],
                          capture_output=True, text=True, check=True)
    return re.sub(r"\s+", " ", re.sub(".\b", "", done.stdout))


def said_by(program, *arguments):
    return subprocess.run([harness.BUILD / program, *arguments, "--help"], capture_output=True, text=True, check=True,
                          env=harness.clean_environment()).stdout


@pytest.mark.parametrize("page", PAGES)
def test_lint(page):
    """mandoc has nothing to complain of."""
    done = subprocess.run(["mandoc", "-T", "lint", "-W", "style", harness.SOURCE / "man" / page], capture_output=True,
                          text=True, check=False)
    # The other pages need not be installed.
    assert [line for line in done.stdout.splitlines() if "referenced manual not found" not in line] == []


def test_options():
    """The page names the options that the help names, with arguments, limits, defaults and variables; no others."""
    page = text("bagelhook.8")
    options = "".join(said_by("bagelhook", *command) for command in COMMANDS)
    for option, limits, variable in re.findall(
            r"^  (--[a-z-]+(?: [A-Z]+)?)\n      .*?(\(\d.*default.*\)|\(octal.*\))?\n(?:      (BAGELHOOK_\w+)\n)?",
            options, re.MULTILINE):
        assert f" {option} " in page
        assert limits in page and variable in page
    named = set(re.findall(r"--[a-z][a-z-]+", page))
    assert named == set(re.findall(r"--[a-z][a-z-]+", options)) | {"--help"}
    assert set(re.findall(r"BAGELHOOK_[A-Z_]+[A-Z]", page)) == set(re.findall(r"BAGELHOOK_[A-Z_]+", options))


def test_options_of_send():
    help_text, page = said_by("bagelhook-send"), text("bagelhook-send.1")
    assert set(re.findall(r"--[a-z][a-z-]+", page)) == set(re.findall(r"--[a-z][a-z-]+", help_text))


def test_options_of_verify():
    """Each option with its argument, no others, and the same exit statuses."""
    help_text, page = said_by("bagelhook-verify"), text("bagelhook-verify.8")
    for option in re.findall(r"^  (--[a-z-]+(?: [A-Z]+| live\|test)?)$", help_text, re.MULTILINE):
        assert f" {option} " in page
    # --now is systemctl's.
    assert set(re.findall(r"--[a-z][a-z-]+", page)) - {"--now"} == set(re.findall(r"--[a-z][a-z-]+", help_text))


def test_options_of_the_console():
    """Each option with its argument, and no others; and the same signals, exit statuses and default."""
    help_text, page = said_by("bagelhook-console"), text("bagelhook-console.8")
    for option in re.findall(r"--[a-z-]+(?: [A-Z]+)?(?=\n|,)", help_text):
        assert f" {option} " in page
    # --now is systemctl's.
    assert set(re.findall(r"--[a-z][a-z-]+", page)) - {"--now"} == set(re.findall(r"--[a-z][a-z-]+", help_text))
    assert set(re.findall(r"\bSIG[A-Z]+\b(?<!SIGNALS)", page)) == set(re.findall(r"\bSIG[A-Z]+\b(?<!SIGNALS)", help_text))
    assert "(octal; default 660)" in page and "(octal; default 660)" in help_text


def test_schema(cluster):
    """What bagelpay(7) names is there."""
    source = (harness.SOURCE / "man" / "bagelpay.7").read_text()
    functions = set(re.findall(r"Fn (\w+)", source))
    relations = {name for line in re.findall(r"^\.It Sy (.*)$", source, re.MULTILINE) for name in line.split(" , ")}
    with cluster.connect(cluster.create_database()) as connection:
        known = {name for name, in connection.execute(
            "SELECT proname FROM pg_proc WHERE pronamespace = 'bagelpay'::regnamespace")}
        assert functions <= known
        known = {name for name, in connection.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'bagelpay'::regnamespace"
            " UNION ALL SELECT rolname FROM pg_roles")}
        assert relations and relations <= known
