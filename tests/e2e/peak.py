"""Runs a command, and prints, behind its output, the most memory that it had: peak.py COMMAND..."""

import json
import resource
import subprocess
import sys

status = subprocess.run(sys.argv[1:], check=False).returncode
print(json.dumps({"peak_kib": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss}))
sys.exit(status)
