# SPDX-License-Identifier: Apache-2.0
"""docs/drivers.schema.json says what docs/drivers.md says, and what hyperpod-driver does.

Usage: schema_test.py DIRECTORY_OF_PROGRAMS
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import unittest

import jsonschema

BIN = pathlib.Path(sys.argv.pop(1))
DOCS = pathlib.Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "drivers.md").read_text()
SCHEMA = json.loads((DOCS / "drivers.schema.json").read_text())
DEFS = SCHEMA["$defs"]


def fits(line, place):
    schema = {"$schema": SCHEMA["$schema"], "$ref": "#/$defs/" + place, "$defs": DEFS}
    return jsonschema.Draft202012Validator(schema).is_valid(line)


def rows(heading):
    """Those of the table under a heading, without its head."""
    section = PAGE.split(f"\n{heading}\n")[1].split("\n\n")[0]
    return section.partition("|---|")[2].splitlines()[1:]


def words(text):
    return re.findall(r"`([a-z_0-9]+)`", text)


class Arguments(unittest.TestCase):
    def test_are_answered_and_not_waited_behind(self):
        for argument, code, said in (("--help", 0, "Usage: hyperpod-driver"), ("--version", 0, "hyperpod-driver "),
                                     ("--url", 2, "'--url'")):
            with self.subTest(argument):
                ended = subprocess.run([BIN / "hyperpod-driver", argument], stdin=subprocess.DEVNULL,
                                       capture_output=True, text=True, timeout=60, check=False)
                self.assertEqual(ended.returncode, code)
                self.assertIn(said, ended.stdout + ended.stderr)


class Page(unittest.TestCase):
    def test_schema_is_one(self):
        jsonschema.Draft202012Validator.check_schema(SCHEMA)

    def test_operations(self):
        operations = [words(row)[0] for row in rows("## Commands")]
        self.assertEqual(sorted(DEFS["commands"]), sorted(operations))
        self.assertEqual(DEFS["answers"]["hello"]["properties"]["operations"]["items"]["enum"], operations)
        self.assertEqual(
            [one["$ref"] for one in DEFS["command"]["oneOf"]],
            [f"#/$defs/commands/{operation}" for operation in operations],
        )

    def test_parameters(self):
        named = words(PAGE.split("## Parameters of `configure`\n")[1].split("\n## ")[0])
        named = [name for name in named if name not in ("sagemaker_hyperpod_", "hello")]
        self.assertEqual(sorted(DEFS["parameters"]["properties"]), sorted(named))
        listed = DEFS["answers"]["hello"]["properties"]["parameters"]["items"]["enum"]
        self.assertEqual(sorted(listed), sorted(named))

    def test_outcomes(self):
        table = PAGE.split("| outcome | of | meaning |\n")[1].split("\n\n")[0]
        of = {words(row)[0]: row.split("|")[2].strip() for row in table.splitlines() if "`" in row}
        for operation in ("put", "get", "exists"):
            meant = [outcome for outcome, whose in of.items() if operation in whose or whose == "all"]
            self.assertEqual(DEFS[f"{operation}_outcome"]["properties"]["outcome"]["enum"], meant)

    def test_counts(self):
        row = next(row for row in rows("## Commands") if row.startswith("| `stats`"))
        self.assertEqual(list(DEFS["answers"]["stats"]["properties"]), words(row)[1:])

    def test_example(self):
        lines = [line for line in PAGE.splitlines() if line.startswith(("→ ", "← "))]
        self.assertGreater(len(lines), 8)
        for sent, came in zip(lines[::2], lines[1::2]):
            command, answer = json.loads(sent[2:]), json.loads(came[2:])
            self.assertTrue(fits(command, "command"), sent)
            place = f"answers/{command['op'] if answer['ok'] else 'refused'}"
            self.assertTrue(fits(answer, place), came)


class Lines(unittest.TestCase):
    def test_commands_that_are_none(self):
        for line in (
            {"op": "hello"},
            {"id": "1", "op": "hello"},
            {"id": 1},
            {"id": 1, "op": "no_such"},
            {"id": 1, "op": "configure", "url": "127.0.0.1:9200", "segment": None},
            {"id": 1, "op": "configure", "url": "http://127.0.0.1:9200"},
            {"id": 1, "op": "configure", "url": "http://h:1", "segment": None, "timeout_ms": "5"},
            {"id": 1, "op": "put", "key": "k", "size": 1},
            {"id": 1, "op": "get", "key": "k", "size": -1},
            {"id": 1, "op": "batch_put", "items": [{"key": "k", "size": 1}]},
            {"id": 1, "op": "batch_contains", "keys": [1]},
            {"id": 1, "op": "concurrent", "operations": [{"op": "stats"}]},
            {"id": 1, "op": "concurrent", "operations": [{"op": "get", "key": "k"}]},
        ):
            self.assertFalse(fits(line, "command"), line)

    def test_answers_that_are_none(self):
        hello = {"id": 1, "ok": True, "client": "c", "operations": ["put"], "parameters": [], "header": "never"}
        self.assertTrue(fits(hello, "answers/hello"))
        hit = {"id": 1, "ok": True, "outcome": "hit", "size": 2, "sha256": "0" * 64}
        self.assertTrue(fits(hit, "answers/get"))
        for place, line in (
            ("answers/hello", {**hello, "header": "sometimes"}),
            ("answers/hello", {**hello, "operations": ["put", "delete"]}),
            ("answers/hello", {**hello, "parameters": ["use_https"]}),
            ("answers/hello", {**hello, "client": ""}),
            ("answers/put", {"id": 1, "ok": True}),
            ("answers/put", {"id": 1, "ok": True, "outcome": "hit"}),
            ("answers/put", {"id": None, "ok": True, "outcome": "stored"}),
            ("answers/get", {**hit, "sha256": "A" * 64}),
            ("answers/get", {"id": 1, "ok": True, "outcome": "hit"}),
            ("answers/get", {**hit, "ok": "yes"}),
            ("answers/exists", {"id": 1, "ok": True, "outcome": "exists"}),
            ("answers/batch_get", {"id": 1, "ok": True, "results": [{"outcome": "hit"}]}),
            ("answers/batch_contains", {"id": 1, "ok": True, "hits": True}),
            ("answers/stats", {"id": 1, "ok": True, "queued": -1}),
            ("answers/refused", {"id": 1, "ok": False}),
            ("answers/refused", {"id": 1, "ok": False, "error": ""}),
            ("answers/refused", {"id": 1, "ok": False, "error": None, "unsupported": None}),
            ("answers/get", {**hit, "sha256": None}),
        ):
            self.assertFalse(fits(line, place), line)

    def test_null_is_left_out(self):
        miss = {"outcome": "miss", "detail": None, "size": None, "sha256": None}
        whole = {"id": 1, "ok": True, "error": None, "unsupported": None}
        for place, line in (
            ("answers/refused", {"id": None, "ok": False, "error": "no JSON", "unsupported": None}),
            ("answers/refused", {"id": 1, "ok": False, "error": None, "unsupported": True}),
            ("answers/get", {**whole, **miss}),
            ("answers/exists", {**whole, **miss}),
            ("answers/put", {**whole, **miss, "outcome": "stored"}),
            ("answers/batch_get", {**whole, "results": [miss]}),
            ("answers/fork", {**whole, **miss, "hung": None}),
            ("answers/stats", {**whole, "queued": None, "circuit_open": None}),
        ):
            self.assertTrue(fits(line, place), line)


class Session(unittest.TestCase):
    """A conversation with hyperpod-driver in which all occurs that can."""

    def setUp(self):
        segment = f"hyperpod_drv_schema_{os.getpid()}"
        self.emulator = subprocess.Popen(
            [BIN / "hyperpod-emulator", "--listen", "127.0.0.1:0", "--admin", "off", "--shm-name", segment]
            + ["--capacity", "16MiB", "--block-size", "64KiB", "--log-level", "error"],
            stdout=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(self.end_emulator)
        ready = json.loads(self.emulator.stdout.readline())
        self.daemon = {"url": ready["url"], "bucket": "schema", "segment": segment, "timeout_ms": 200}

    def end_emulator(self):
        self.emulator.terminate()
        self.emulator.wait(timeout=30)
        self.emulator.stdout.close()

    def test_fits(self):
        put, get = {"key": "k", "size": 64, "seed": 1}, {"key": "k", "size": 64}
        absent, nameless = {"key": "absent", "size": 64}, {"key": "", "size": 64}
        commands = [
            {"op": "hello"},
            {"op": "put", **put},
            {"op": "configure", **self.daemon, "timeout_ms": 0},
            {"op": "configure", **self.daemon, "save_chunk_meta": False},
            {"op": "put", **put},
            {"op": "put", **put},
            {"op": "put", **nameless, "seed": 1},
            {"op": "get", **get},
            {"op": "get", **absent},
            {"op": "get", **nameless},
            {"op": "exists", "key": "k"},
            {"op": "exists", "key": "absent"},
            {"op": "batch_put", "items": [{**put, "key": "b"}, {**nameless, "seed": 2}]},
            {"op": "batch_get", "items": [get, absent, nameless]},
            {"op": "batch_contains", "keys": ["k", "b", "absent"]},
            {
                "op": "concurrent",
                "operations": [{"op": "put", **put}, {"op": "get", **get}, {"op": "exists", "key": "k"}],
            },
            {"op": "fork", **get},
            {"op": "stats"},
            {"op": "close"},
            {"op": "get", **get},
        ]
        lines = [json.dumps({"id": i, **command}) for i, command in enumerate(commands)]
        unfit = ["no JSON", '{"id":1,"op":"hello"}\0', "[]", '{"op":"hello"}', '{"id":1,"op":"put","key":"k"}', '{"id":1,"op":"no_such"}']
        ended = subprocess.run(
            [BIN / "hyperpod-driver"],
            input="".join(line + "\n" for line in lines + unfit),
            stdout=subprocess.PIPE,
            text=True,
            timeout=60,
            check=True,
        )
        answers = [json.loads(line) for line in ended.stdout.splitlines()]
        self.assertEqual(len(answers), len(lines) + len(unfit))
        seen = set()
        for line, command, answer in zip(lines, commands, answers):
            self.assertTrue(fits(json.loads(line), "command"), line)
            place = f"answers/{command['op'] if answer['ok'] else 'refused'}"
            self.assertTrue(fits(answer, place), answer)
            seen.add((command["op"], answer.get("outcome"), answer["ok"]))
        for expected in (
            *(("put", outcome, True) for outcome in ("stored", "exists", "error")),
            *(("get", outcome, True) for outcome in ("hit", "miss", "error")),
            *(("exists", outcome, True) for outcome in ("hit", "miss")),
            ("put", None, False),
            ("configure", None, False),
        ):
            self.assertIn(expected, seen)
        for answer in answers[len(lines) :]:
            self.assertTrue(fits(answer, "answers/refused"), answer)


if __name__ == "__main__":
    unittest.main()
