# SPDX-License-Identifier: Apache-2.0
"""The suite finds in the careless client what its comments say, and nothing else.

Usage: careless_test.py HYPERPOD_CONFORMANCE
"""

import json
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).parent
CLIENT = HERE / "careless_client.py"
SUITE = sys.argv.pop(1)


def run(*arguments):
    return subprocess.run(
        [SUITE, "client", *arguments], capture_output=True, text=True, timeout=600, check=False
    )


class Careless(unittest.TestCase):
    def test_is_found_out(self):
        named = set(re.findall(r"\bC-[A-Z]+-\d+\b", CLIENT.read_text()))
        requirements = json.loads(run("--list=json").stdout)
        sections = {requirement["id"].rpartition("-")[0] for requirement in requirements}
        with tempfile.TemporaryDirectory() as folder:
            report = pathlib.Path(folder, "report.json")
            ended = run(
                *("--driver", f"{sys.executable} -B {CLIENT}"),
                # All that there is, but with no more workers than core has.
                *("--profile", "core", "--only", ",".join(sorted(sections))),
                *("--json", str(report)),
            )
            self.assertEqual(ended.returncode, 1, ended.stdout + ended.stderr)
            results = json.loads(report.read_text())["results"]
        # Whether these are found depends on the machine: on its addresses, and on a race.
        results = [result for result in results if result["id"] not in ("C-TIME-11", "C-BREAKER-06")]
        found = {result["id"] for result in results if result["outcome"] in ("warn", "fail")}
        self.assertEqual(sorted(found - named), [], "no comment names these:\n" + ended.stdout)
        self.assertEqual(sorted(named - found), [], "the suite did not find these:\n" + ended.stdout)
        self.assertGreater(len(found), 40)


if __name__ == "__main__":
    unittest.main()
