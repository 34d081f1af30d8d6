# SPDX-License-Identifier: Apache-2.0
"""LMCache's drivers where LMCache is not installed: one line, exit code 77. And they compile."""

import pathlib
import subprocess
import sys
import unittest

HERE = pathlib.Path(__file__).parent


class LmcacheDrivers(unittest.TestCase):
    def test_say_that_their_client_is_missing(self):
        for name in ("lmcache_mp.py", "lmcache_connector.py"):
            with self.subTest(name):
                # -S hides what is installed.
                ended = subprocess.run(
                    [sys.executable, "-S", "-B", HERE / name],
                    input='{"id":1,"op":"hello"}\n',
                    capture_output=True,
                    text=True,
                    timeout=60,
                    check=False,
                )
                self.assertEqual(ended.returncode, 77, ended.stderr)
                self.assertEqual(ended.stdout, "")
                self.assertRegex(ended.stderr, r"\ALMCache .* is not installed: [^\n]*\n\Z")

    def test_compile(self):
        for path in HERE.glob("*.py"):
            compile(path.read_text(), path, "exec")


if __name__ == "__main__":
    unittest.main()
