#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A training job's saves and restores, through the stand-in of the API's public client.

    client_test.py DIRECTORY_OF_PROGRAMS
"""

import contextlib
import io
import json
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../../fixtures"))
from checkpoint_client import CheckpointClient, CheckpointError  # noqa: E402

PROGRAM = os.path.join(sys.argv.pop(1), "hyperpod-emulator")


@contextlib.contextmanager
def emulator(*options):
    name = f"hyperpod_test_{os.getpid()}_{os.urandom(6).hex()}"
    with subprocess.Popen(
            [PROGRAM, "--listen=127.0.0.1:0", "--admin=127.0.0.1:0", f"--shm-name={name}",
             "--capacity=64MiB", "--block-size=64KiB", "--reserve=on_use", "--log-level=off", *options],
            stdout=subprocess.PIPE) as process:
        try:
            yield json.loads(process.stdout.readline())["url"]
        finally:
            process.terminate()


class CheckpointClientTest(unittest.TestCase):
    def client(self, *arguments, **more):
        made = CheckpointClient(*arguments, **more)
        self.addCleanup(made.close)
        return made

    def test_a_job_saves_restores_and_retires_steps(self):
        with emulator() as url:
            client = self.client(url, "a run.ü", 2, steps_retained=2)
            self.assertEqual(client.get_or_create_namespace()["num_ranks"], 3)
            self.assertEqual(client.latest(), [])
            saved = {}
            for step in (100, 200, 300):
                for rank in range(3):
                    saved[rank, step] = os.urandom(1 << 20) if rank else b""
                    data = saved[rank, step]
                    client.put(rank, step, io.BytesIO(data) if step == 200 else data)
            self.assertEqual(client.latest(), [300, 200])
            for step in (200, 300):
                for rank in range(3):
                    self.assertEqual(client.get(rank, step), saved[rank, step])
            self.assertIsNone(client.get(0, 100))
            client.delete(1, 300)
            self.assertEqual(client.latest(), [200])
            client.delete_namespace()
            self.assertEqual(client.latest(), [])
            client.reset_cluster()

    def test_a_rank_that_dies_in_the_middle_of_a_save_leaves_the_older_step(self):
        with emulator() as url:
            client = self.client(url, "run", 1, metadata_file_count=1)
            client.get_or_create_namespace()
            for rank in range(2):
                client.put(rank, 1, b"whole")
            client.put(0, 2, b"whole")

            def dying():
                yield b"half"
                raise KeyboardInterrupt

            with self.assertRaises(KeyboardInterrupt):
                client._request("POST", "/v1/cp/checkpoints/run/1/2", data=dying())
            self.assertEqual(client.latest(), [1])
            self.assertIsNone(client.get(1, 2))

    def test_memory_that_is_full_refuses_a_shard_and_keeps_the_others(self):
        with emulator() as url:
            client = self.client(url, "run", 1, metadata_file_count=1)
            client.get_or_create_namespace()
            client.put(0, 1, b"x" * (60 << 20))
            with self.assertRaises(CheckpointError) as refused:
                client.put(1, 1, b"x" * (8 << 20))
            self.assertEqual(refused.exception.status, 507)
            self.assertEqual(len(client.get(0, 1)), 60 << 20)

    def test_retries_are_the_clients_to_make(self):
        scenario = {"faults": [{"match": {"operation": "checkpoint_put", "first": 1},
                                "effects": {"status": 503}}]}
        path = f"/tmp/hyperpod_test_{os.getpid()}.json"
        with open(path, "w", encoding="utf-8") as file:
            json.dump(scenario, file)
        self.addCleanup(os.unlink, path)
        with emulator("--scenario", path) as url:
            once = self.client(url, "run", 1)
            once.get_or_create_namespace()
            with self.assertRaises(CheckpointError):
                once.put(0, 1, b"x")
            once.put(0, 1, b"x")
            self.assertEqual(once.get(0, 1), b"x")


if __name__ == "__main__":
    unittest.main()
