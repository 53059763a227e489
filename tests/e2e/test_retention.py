"""The service that forgets what is old, as it ships."""

import configparser
import shlex
import subprocess

import bodies
import harness


def forget_unit():
    """The service's settings; one that is given several times has its values joined by newlines."""
    class Joined(dict):
        def __setitem__(self, key, value):
            if isinstance(value, list) and isinstance(self.get(key), list):
                value = self[key] + [line for line in value if line]
            super().__setitem__(key, value)

    parser = configparser.RawConfigParser(dict_type=Joined, strict=False)
    parser.optionxform = str
    parser.read(harness.SOURCE / "contrib" / "systemd" / "bagelhook-forget.service")
    return parser["Service"]


def run_service(stack):
    """What systemd would run, with the unit's own environment but for the database."""
    unit = forget_unit()
    environment = dict(word.split("=", 1) for word in shlex.split(unit["Environment"].replace("\n", " ")))
    environment |= {"PGHOST": stack.cluster.host, "PGPORT": stack.cluster.port, "PGUSER": "postgres", "PGDATABASE": stack.db}
    command = shlex.split(unit["ExecStart"])
    for name in ("BAGELHOOK_OLDER_THAN",):
        command = [word.replace(f"${{{name}}}", environment[name]) for word in command]
    assert unit["StandardInput"] == "data" and unit["Type"] == "oneshot"
    done = subprocess.run(command, input=unit["StandardInputText"], env=harness.clean_environment(**environment),
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return dict(line.replace(" ", "").split("|") for line in done.stdout.splitlines() if "|" in line)


def test_service(stack):
    """Of two events, one is older than the year that it says."""
    old, new = bodies.payment(), bodies.payment()
    for body in (old, new):
        assert stack.deliver(body).status == 200
    stack.query("UPDATE bagelpay.events SET received_at = now() - interval '366 days' WHERE event_id = %s", bodies.event_id(old))
    assert run_service(stack) == {"events": "1", "bodies": "1", "dead_letters": "0"}
    assert stack.query("SELECT event_id FROM bagelpay.event_bodies") == [(bodies.event_id(new),)]
    assert run_service(stack) == {"events": "0", "bodies": "0", "dead_letters": "0"}
    answer = stack.deliver(old)
    assert (answer.status, answer.json["outcome"]) == (200, "duplicate")
