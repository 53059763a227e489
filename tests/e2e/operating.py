"""Running the operator's commands, and what they leave."""

import subprocess

import harness


def run(cluster, db, *arguments, stdin=b"", user="postgres"):
    """Runs a command of bagelhook on a database; returns the exit status, lines, and lines of complaint."""
    command = [harness.BUILD / "bagelhook", arguments[0], "--database", cluster.dsn(user, db), *arguments[1:]]
    done = subprocess.run([str(word) for word in command], input=stdin, capture_output=True, check=False,
                          env=harness.clean_environment(), timeout=harness.PATIENCE_S)
    return done.returncode, done.stdout.decode().splitlines(), done.stderr.decode().splitlines()


def letters(stack):
    """Number, reason, and whether it is resolved, of each dead letter."""
    return stack.query("SELECT id, reason, resolved_at IS NOT NULL FROM bagelpay.dead_letters ORDER BY id")
