#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tries the conformance suite on the reference daemon, or with --client on the reference client: as
it is, with each legal variation, and with each defect.

    trials.py --suite build/release/bin/hyperpod-conformance [--client] [--only NAME[+NAME]]... [--pairs N]

The plain one and the variations must conform, and nothing may warn that the variation does not
name. A defect must fail a requirement (one of level should: be warned of). A line each is printed
as it is known, and at the end the misses and the false alarms. The exit status is 0 if there are
none, 1 if there are some, 2 for a usage error, 3 if a trial could not be run.
"""

import argparse
import concurrent.futures
import itertools
import json
import os
import random
import shlex
import subprocess
import sys
import tempfile
import time

import client_switches
import switches as daemon_switches

HERE = os.path.dirname(os.path.abspath(__file__))
DAEMON = os.path.join(HERE, "daemon.py")
DRIVER = os.path.join(HERE, "client_driver.py")
READY_SECONDS = 120  # Far more than a start takes, for machines that are busy otherwise.


class Trial:
    def __init__(self, switches):
        self.switches = switches
        self.names = [switch.name for switch in switches]
        self.conforms = None
        self.failed = []  # Ids.
        self.warned = []
        self.messages = {}  # By id.
        self.trouble = ""  # Why there is no verdict.
        self.seconds = 0

    def as_json(self):
        return {
            "switches": self.names,
            "verdict": self.verdict,
            "failed": self.failed,
            "warned": self.warned,
            "messages": self.messages,
            "trouble": self.trouble,
        }

    @property
    def title(self):
        return " + ".join(self.names) or "(plain)"

    @property
    def defects(self):
        return [switch for switch in self.switches if switch.kind == "break"]

    @property
    def verdict(self):
        """"as it should be", "missed", "false alarm" or "no verdict"."""
        if self.trouble:
            return "no verdict"
        if self.defects:
            found = self.failed or (self.warned and all(d.level == "should" for d in self.defects))
            return "as it should be" if found else "missed"
        may_warn = {id for switch in self.switches for id in switch.ids}
        unfair = self.failed or [id for id in self.warned if id not in may_warn]
        return "false alarm" if unfair else "as it should be"

    @property
    def aimed(self):
        """Of the requirements that are to find the defect, those that did."""
        aims = {id for defect in self.defects for id in defect.ids}
        return [id for id in self.failed + self.warned if id in aims]


def run(trial, options):
    """Runs the suite against a daemon or a driver of its own, and fills in the trial."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="trial-") as directory:
        daemon = None
        try:
            if options.client:
                command = driver_arguments(trial)
            else:
                daemon = start_daemon(trial, directory, options)
                command = daemon_arguments(daemon)
            judge(trial, command, directory, options)
        except (OSError, subprocess.SubprocessError, ValueError, TimeoutError) as error:
            trial.trouble = str(error)
        finally:
            if daemon is not None:
                stop(daemon)
    trial.seconds = time.monotonic() - began
    return trial


def start_daemon(trial, directory, options):
    capacity = options.capacity or max((switch.capacity for switch in trial.switches), default="64MiB", key=megabytes)
    name = "reference-%d-%s" % (os.getpid(), os.path.basename(directory))
    ready = os.path.join(directory, "ready")
    command = [sys.executable, DAEMON, "--shm-name", name, "--capacity", capacity, "--ready-file", ready]
    for switch in trial.switches:
        command += ["--" + switch.kind, switch.name]
    errors = open(os.path.join(directory, "errors"), "wb")
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors)
    errors.close()
    process.shm_name, process.ready = name, ready
    deadline = time.monotonic() + READY_SECONDS
    while not os.path.exists(ready):
        if process.poll() is not None or time.monotonic() > deadline:
            how = "it ended with %s" % process.poll() if process.poll() is not None else "it is not ready"
            stop(process)
            with open(os.path.join(directory, "errors")) as file:
                raise OSError("the daemon did not start: %s; %s" % (how, file.read().strip()[-300:]))
        time.sleep(0.02)
    with open(ready) as file:
        process.told = json.load(file)
    return process


def megabytes(size):
    return int(size.removesuffix("MiB"))


def stop(process):
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    path = "/dev/shm/" + process.shm_name
    if os.path.exists(path):
        os.unlink(path)


def driver_arguments(trial):
    driver = [sys.executable, "-B", DRIVER]
    for switch in trial.switches:
        driver += ["--" + switch.kind, switch.name]
    return ["client", "--driver", shlex.join(driver)]


def daemon_arguments(daemon):
    ready = shlex.quote(daemon.ready)
    restart = (
        "rm -f %s; kill -HUP %d; for i in $(seq 200); do [ -s %s ] && exit 0; sleep 0.05; done; exit 1"
        % (ready, daemon.pid, ready)
    )
    return [
        "daemon", "--url", daemon.told["url"], "--shm-name", daemon.shm_name,
        "--capacity", str(daemon.told["capacity"]), "--restart-command", restart,
    ]  # fmt: skip


def judge(trial, arguments, directory, options):
    report = os.path.join(directory, "report.json")
    command = [options.suite, *arguments, "--profile", options.profile, "--seed", str(options.seed)]
    command += ["--json", report]
    if options.time_scale != 1:
        command += ["--time-scale", str(options.time_scale)]
    if options.aimed and trial.defects:
        for id in sorted({id for defect in trial.defects for id in defect.ids} & options.known):
            command += ["--only", id]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=options.timeout)
    if done.returncode not in (0, 1):
        raise OSError("the suite ended with %d: %s" % (done.returncode, (done.stderr or done.stdout)[-300:]))
    trial.conforms = done.returncode == 0
    if not os.path.exists(report):
        trial.failed = ["START"]  # Not even the first requests went well.
        trial.messages["START"] = (done.stderr or done.stdout).strip()[-300:]
        return
    with open(report) as file:
        for result in json.load(file)["results"]:
            outcome, id = result["outcome"], result["id"]
            if outcome in ("fail", "error"):
                trial.failed.append(id)
            elif outcome == "warn":
                trial.warned.append(id)
            else:
                continue
            trial.messages[id] = message_of(result)


def message_of(result):
    """What the report says of a result that is not a pass, on one line."""
    parts = [str(result[key]) for key in ("expected", "seen", "message", "reason") if result.get(key)]
    return " / ".join(parts).replace("\n", " ")[:300]


def known_ids(suite, of):
    listed = subprocess.run([suite, of, "--list=json"], capture_output=True, text=True, timeout=30)
    return {entry["id"] for entry in json.loads(listed.stdout)}


def chosen_trials(options):
    switches = options.switches
    if options.only:
        return [Trial([switches.SWITCHES[name] for name in names.split("+")]) for names in options.only]
    trials = [Trial([])]
    if options.kind in ("all", "vary"):
        trials += [Trial([switch]) for switch in switches.VARIATIONS]
    if options.kind in ("all", "break"):
        trials += [Trial([switch]) for switch in switches.DEFECTS]
    if options.pairs:
        pairs = [
            [one, two]
            for one, two in itertools.combinations(switches.VARIATIONS, 2)
            if one.group != two.group
        ]
        random.Random(options.seed).shuffle(pairs)
        trials += [Trial(pair) for pair in pairs[: options.pairs]]
    return trials


def line_of(trial):
    kind = trial.switches[0].kind if trial.switches else ""
    text = "%-14s %-5s %-44s %4.0f s" % (trial.verdict, kind, trial.title, trial.seconds)
    if trial.trouble:
        return text + "  " + trial.trouble
    for word, ids in (("fail", trial.failed), ("warn", trial.warned)):
        if ids:
            text += "  %s %s" % (word, " ".join(ids))
    if trial.defects and trial.verdict == "as it should be" and not trial.aimed:
        text += "  (none of %s)" % " ".join(trial.defects[0].ids)
    return text


def summary(trials):
    lines = []
    for word in ("missed", "false alarm", "no verdict"):
        found = [trial for trial in trials if trial.verdict == word]
        lines.append("%s: %d of %d" % (word, len(found), len(trials)))
        for trial in found:
            lines.append("  " + trial.title)
            for switch in trial.switches:
                lines.append("      %s %s: %s" % (switch.kind, switch.of, switch.what))
                lines.append("      %s [%s]" % (switch.why, " ".join(switch.ids)))
            for message, ids in itertools.groupby(
                sorted(trial.failed + trial.warned, key=trial.messages.get), trial.messages.get
            ):
                lines.append("      %s: %s" % (" ".join(ids), message))
            if trial.trouble:
                lines.append("      " + trial.trouble)
    return lines


def main():
    parser = argparse.ArgumentParser(description="Tries the suite on the reference daemon or client")
    parser.add_argument("--suite", required=True, metavar="PROGRAM", help="hyperpod-conformance")
    parser.add_argument("--client", action="store_true", help="the client instead of the daemon")
    parser.add_argument("--only", action="append", metavar="NAME[+NAME]", help="these switches only")
    parser.add_argument("--kind", choices=("all", "vary", "break"), default="all")
    parser.add_argument("--pairs", type=int, default=0, metavar="N", help="and N pairs of variations")
    parser.add_argument("--aimed", action="store_true", help="defects: only the checks aimed at them")
    parser.add_argument("--profile", default="full", help="core, full or stress (default full)")
    parser.add_argument("--capacity", metavar="SIZE", help="default: as much as the switches need")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--time-scale", type=float, default=1)
    parser.add_argument("--jobs", type=int, default=2, help="trials at once (default 2)")
    parser.add_argument("--timeout", type=float, default=300, metavar="SECONDS", help="of one trial")
    parser.add_argument("--json", metavar="FILE", help="write every trial there")
    options = parser.parse_args()
    options.switches = client_switches if options.client else daemon_switches
    for name in (name for names in options.only or [] for name in names.split("+")):
        if name not in options.switches.SWITCHES:
            parser.error("--only %s is not known; daemon.py and client_driver.py have --list" % name)
    try:
        options.known = known_ids(options.suite, "client" if options.client else "daemon")
    except (OSError, ValueError, KeyError, TypeError, subprocess.SubprocessError) as error:
        parser.error("--suite %s does not list its requirements: %s" % (options.suite, error))
    trials = chosen_trials(options)
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for done in concurrent.futures.as_completed([pool.submit(run, trial, options) for trial in trials]):
            print(line_of(done.result()), flush=True)
    print("\n" + "\n".join(summary(trials)))
    if options.json:
        with open(options.json, "w") as file:
            json.dump([trial.as_json() for trial in trials], file, indent=1)
    if any(trial.trouble for trial in trials):
        return 3
    return 1 if any(trial.verdict != "as it should be" for trial in trials) else 0


if __name__ == "__main__":
    sys.exit(main())
