"""docs/schema.md is what the migrations say."""

import subprocess
import sys

import harness


def test_page(cluster):
    """As scripts/schema.py prints it."""
    script, database = harness.SOURCE / "scripts" / "schema.py", cluster.create_database()
    printed = subprocess.run([sys.executable, script, cluster.dsn(db=database)], capture_output=True, text=True,
                             check=True).stdout
    assert (harness.SOURCE / "docs" / "schema.md").read_text(encoding="utf-8") == printed, (
        "renew it, after scripts/run with this tree: (set -a; . .run/env; scripts/schema.py) >docs/schema.md")
