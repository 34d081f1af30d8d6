# SPDX-License-Identifier: Apache-2.0
"""What trials.py makes of what a suite says. The suite here is a script that fails what it is told."""

import json
import os
import subprocess
import sys
import tempfile
import unittest

import trials

SUITE = """#!%s
import json, os, sys
if "--list=json" in sys.argv:
    print(json.dumps([{"id": "PIN-01"}, {"id": "HTTP-05"}]))
    sys.exit(0)
results = json.loads(os.environ["SUITE_RESULTS"])
with open(sys.argv[sys.argv.index("--json") + 1], "w") as file:
    json.dump({"results": results}, file)
sys.exit(1 if any(result["outcome"] == "fail" for result in results) else 0)
""" % sys.executable


class Trials(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.suite = os.path.join(directory.name, "suite")
        with open(self.suite, "w") as file:
            file.write(SUITE)
        os.chmod(self.suite, 0o755)

    def run_trials(self, outcomes, *arguments):
        results = [{"id": id, "outcome": what, "seen": "what was seen"} for id, what in outcomes.items()]
        environment = {**os.environ, "SUITE_RESULTS": json.dumps(results)}
        command = [sys.executable, "-B", trials.__file__, "--suite", self.suite, *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)

    def test_a_defect_must_be_failed(self):
        only = ("--client", "--only", "expiry-ignored")
        found = self.run_trials({"PIN-01": "fail"}, *only)
        self.assertEqual(found.returncode, 0, found.stdout + found.stderr)
        for outcome in ("pass", "warn", "skip"):
            missed = self.run_trials({"PIN-01": outcome}, *only)
            self.assertEqual(missed.returncode, 1)
            self.assertIn("missed: 1 of 1", missed.stdout)

    def test_a_warning_is_enough_where_the_row_is_inferred(self):
        warned = self.run_trials({"PIN-01": "warn"}, "--client", "--only", "queueing-not-counted")
        self.assertEqual(warned.returncode, 0)

    def test_a_variation_may_warn_of_what_it_names_alone(self):
        only = ("--client", "--only", "no-margin")
        self.assertEqual(self.run_trials({"C-TIME-08": "warn"}, *only).returncode, 0)
        for unfair in ({"C-TIME-08": "fail"}, {"PIN-01": "warn"}):
            alarm = self.run_trials(unfair, *only)
            self.assertEqual(alarm.returncode, 1)
            self.assertIn("false alarm: 1 of 1", alarm.stdout)
            self.assertIn("what was seen", alarm.stdout)

    def test_daemons_are_started_and_leave_nothing(self):
        before = set(os.listdir("/dev/shm"))
        done = self.run_trials({}, "--only", "scattered+miss-404", "--capacity", "1MiB")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        left = {name for name in set(os.listdir("/dev/shm")) - before if name.startswith("reference-")}
        self.assertFalse({name for name in left if "-trial-" in name})

    def test_says_what_is_wrong_with_its_arguments(self):
        unknown = self.run_trials({}, "--only", "nothing-of-the-kind")
        self.assertEqual(unknown.returncode, 2)
        self.assertIn("nothing-of-the-kind", unknown.stderr)
        command = [sys.executable, "-B", trials.__file__, "--suite", "/nonexistent"]
        self.assertEqual(subprocess.run(command, capture_output=True, timeout=300).returncode, 2)


if __name__ == "__main__":
    unittest.main()
