# SPDX-License-Identifier: Apache-2.0
"""Checks the manifests without a cluster: their form, by the schemas of Kubernetes, and what a client needs to find its
node's daemon and its segment. Every rule is also seen to be broken by a manifest that lacks what it asks for.

Usage: manifests_test.py [DIRECTORY], where DIRECTORY is a copy of this folder with changes of your own. The overlays are
rendered where kustomize is installed; elsewhere the files are checked as they are, and the tests that need rendering say
that they were skipped.
"""

import copy
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import unittest

import jsonschema
import yaml

HERE = pathlib.Path(sys.argv.pop(1)) if sys.argv[1:] else pathlib.Path(__file__).parent
if not (HERE / "overlays").is_dir():
    sys.exit(f"manifests_test.py: {HERE} does not hold the manifests: it has no folder overlays")
PLACEHOLDER = "ai_toolkit_cache"  # what the files have where kustomize puts the setting
SETTINGS = yaml.safe_load((HERE / "settings/kustomization.yaml").read_text())
NAMESPACE = SETTINGS["namespace"]
SEGMENT = yaml.safe_load((HERE / "settings/common/segment.yaml").read_text())["data"]["segment"]
OVERLAYS = ["base", *sorted(f"overlays/{path.name}" for path in (HERE / "overlays").iterdir())]
READERS = {"client": "Pod", "conformance": "Job", "vllm": "Pod"}  # who mounts the segment's file
SCHEMA = json.loads((pathlib.Path(__file__).parent / "schemas/kubernetes.json").read_text())


def read_files(directory=HERE):
    """The objects of all files that kustomize reads, but for its own and for patches, which are not whole objects."""
    objects = []
    for place in ("base", "overlays", "settings"):
        for file in sorted((directory / place).rglob("*.yaml")):
            patches = yaml.safe_load((file.parent / "kustomization.yaml").read_text()).get("patches", [])
            if file.name != "kustomization.yaml" and {"path": file.name} not in patches:
                text = file.read_text().replace(PLACEHOLDER, SEGMENT)
                objects += [each for each in yaml.safe_load_all(text) if each]
    return objects


def render(overlay):
    made = subprocess.run(["kustomize", "build", HERE / overlay], check=True, capture_output=True, text=True)
    return [each for each in yaml.safe_load_all(made.stdout) if each]


def pod_of(each):
    return each["spec"] if each["kind"] == "Pod" else each["spec"]["template"]["spec"]


def text_of_command(container):
    return " ".join(map(str, container.get("command", []) + container.get("args", [])))


def form_problems(objects):
    for each in objects:
        kind = f"{each.get('apiVersion')} {each.get('kind')}"
        if kind not in SCHEMA["kinds"]:
            yield f"{kind} is not a kind that schemas/kubernetes.json knows"
            continue
        schema = {"$ref": "#/definitions/" + SCHEMA["kinds"][kind], "definitions": SCHEMA["definitions"]}
        for error in jsonschema.Draft7Validator(schema).iter_errors(each):
            path = "/".join(map(str, error.absolute_path))
            yield f"{each['kind']} {each['metadata']['name']}: {path}: {error.message[-200:]}"


def emulator_problems(each):
    pod = pod_of(each)
    container = pod["containers"][0]
    variables = {variable["name"]: variable.get("value") for variable in container["env"]}
    if not pod.get("hostNetwork"):
        yield "the emulator is not in the host's network"
    if all(port["containerPort"] != 9200 for port in container["ports"]):
        yield "the port is not 9200"
    if container["securityContext"].get("runAsUser") != 1000:
        yield "the emulator's uid is not 1000"
    if variables.get("HYPERPOD_EMULATOR_SHM_NAME") != SEGMENT:
        yield "the emulator has another segment"
    if variables.get("HYPERPOD_EMULATOR_LISTEN") != "":
        yield "the image's address goes over the file's"
    if not str(variables.get("HYPERPOD_EMULATOR_ADMIN")).startswith("127.0.0.1:"):
        yield "the admin port is open to the network"
    if not any("rmdir" in text_of_command(step) for step in pod.get("initContainers", [])):
        yield "no step makes room where the kubelet has made a directory"
    for volume in pod["volumes"]:
        if volume["name"] == "dshm" and volume["hostPath"] != {"path": "/dev/shm", "type": "Directory"}:
            yield "the volume is not the host's /dev/shm"
    for step in pod.get("initContainers", []) + pod["containers"]:
        if not any(mount == {"name": "dshm", "mountPath": "/dev/shm"} for mount in step["volumeMounts"]):
            yield f"{step['name']} does not have the host's /dev/shm"


def reader_problems(each):
    name, pod = each["metadata"]["name"], pod_of(each)
    container = pod["containers"][0]
    defined = set()
    for variable in container["env"]:
        for used in re.findall(r"\$\((\w+)\)", variable.get("value", "")):
            if used not in defined:
                yield f"{name} uses a variable before it is defined"
        defined.add(variable["name"])
        if variable["name"] == "SEGMENT" and variable["value"] != SEGMENT:
            yield f"{name} looks for another segment"
        if variable["name"] == "NODE_IP" and variable.get("valueFrom") != {
            "fieldRef": {"fieldPath": "status.hostIP"}
        }:
            yield f"{name} has a NODE_IP that is not the node's address"
    if not {"NODE_IP", "SEGMENT"} <= defined:
        yield f"{name} does not say where its daemon or its segment is"
    if 'case $NODE_IP in *:*) NODE_IP="[$NODE_IP]"' not in text_of_command(container):
        yield f"{name} puts no brackets around an IPv6 address"
    if container["securityContext"].get("runAsUser") != 1000:
        yield f"{name} is not the segment's owner"
    file = f"/dev/shm/{SEGMENT}"
    for volume in pod["volumes"]:
        if "hostPath" in volume and volume["hostPath"] != {"path": file, "type": "File"}:
            yield f"{name} mounts something else than the segment's file"
    if {"name": "segment", "mountPath": file, "readOnly": True} not in container["volumeMounts"]:
        yield f"{name} does not mount the segment, or not for reading only"


def rule_problems(objects):
    named = {(each["kind"], each["metadata"]["name"]): each for each in objects}
    for each in objects:
        if each["kind"] == "Namespace" and "privileged" not in str(each["metadata"].get("labels")):
            yield "the namespace's pod-security level forbids the host's network and paths"
        if each["kind"] in ("Pod", "DaemonSet", "Job"):
            if {"key": "nvidia.com/gpu", "operator": "Exists"} not in pod_of(each).get("tolerations", []):
                yield f"{each['metadata']['name']} does not come to GPU nodes"
    if ("DaemonSet", "emulator") in named:
        yield from emulator_problems(named["DaemonSet", "emulator"])
    for name, kind in READERS.items():
        if (kind, name) in named:
            yield from reader_problems(named[kind, name])


class Manifests(unittest.TestCase):
    def test_files_keep_every_rule(self):
        objects = read_files()
        self.assertEqual(list(form_problems(objects)) + list(rule_problems(objects)), [])
        kinds = sorted(each["kind"] for each in objects)
        self.assertEqual([kinds.count(kind) for kind in ("DaemonSet", "Job", "Pod")], [1, 1, 2])

    def test_configuration_is_in_the_real_daemons_form(self):
        configuration = tomllib.loads((HERE / "base/config.toml").read_text())
        self.assertEqual(configuration["server"]["address"], "[::]:9200")
        self.assertNotIn("emulator", configuration)

    def test_each_breach_is_found(self):
        for kind, name, change, problem in BREACHES:
            with self.subTest(problem):
                objects = copy.deepcopy(read_files())
                [broken] = [
                    each for each in objects if each["kind"] == kind and name in (None, each["metadata"]["name"])
                ]
                change(broken)
                found = "\n".join([*form_problems(objects), *rule_problems(objects)])
                self.assertIn(problem, found)

    @unittest.skipUnless(shutil.which("kustomize"), "SKIP: kustomize is not installed (Debian 13 has it)")
    def test_overlays_render_and_keep_every_rule(self):
        for overlay in OVERLAYS:
            with self.subTest(overlay):
                objects = render(overlay)
                problems = [*form_problems(objects), *rule_problems(objects)]
                if overlay == "overlays/monitoring":  # what it is for
                    problems.remove("the admin port is open to the network")
                self.assertEqual(problems, [])
                self.assertNotIn("settings", [each["metadata"]["name"] for each in objects])
                for each in objects:
                    if each["kind"] != "Namespace":
                        self.assertEqual(each["metadata"].get("namespace"), NAMESPACE, each["metadata"]["name"])

    @unittest.skipUnless(shutil.which("kustomize"), "SKIP: kustomize is not installed (Debian 13 has it)")
    def test_settings_are_in_one_place(self):
        with tempfile.TemporaryDirectory() as work:
            shutil.copytree(HERE, work, dirs_exist_ok=True)
            for file in ("settings/common/segment.yaml", "settings/kustomization.yaml"):
                path = pathlib.Path(work, file)
                text = path.read_text().replace(SEGMENT, "other_segment")
                text = text.replace(f"namespace: {NAMESPACE}", "namespace: else")
                path.write_text(text.replace("newName: hyperpod-kv-emulator", "newName: registry/image"))
            for overlay in OVERLAYS:
                made = subprocess.run(
                    ["kustomize", "build", f"{work}/{overlay}"], check=True, capture_output=True, text=True
                ).stdout
                self.assertNotRegex(made, rf"(value: |/dev/shm/){SEGMENT}\b", overlay)
                self.assertNotIn(f"namespace: {NAMESPACE}\n", made, overlay)
                self.assertNotIn("image: hyperpod-kv-emulator", made, overlay)

    @unittest.skipUnless(HERE == pathlib.Path(__file__).parent, "SKIP: this is a copy itself")
    def test_a_copy_with_other_settings_keeps_every_rule(self):
        with tempfile.TemporaryDirectory() as work:
            shutil.copytree(HERE, work, dirs_exist_ok=True)
            for file, old, new in [
                ("settings/common/segment.yaml", f"segment: {SEGMENT}", "segment: shared_memory"),
                ("settings/kustomization.yaml", f"namespace: {NAMESPACE}", "namespace: else"),
                ("settings/common/namespace.yaml", f"name: {NAMESPACE}", "name: else"),
            ]:
                path = pathlib.Path(work, file)
                self.assertIn(old, path.read_text())
                path.write_text(path.read_text().replace(old, new))
            checked = subprocess.run([sys.executable, __file__, work], capture_output=True, text=True)
            self.assertEqual(checked.returncode, 0, checked.stderr)


def container_of(each):
    return pod_of(each)["containers"][0]


def change(path, value):
    """A change of a pod's first container, or of its pod where the path begins with "pod"."""

    def apply(each):
        *steps, last = path
        at = container_of(each)
        if path[0] == "pod":
            at, steps = pod_of(each), steps[1:]
        for step in steps:
            at = at[step]
        at[last] = value

    return apply


BREACHES = [
    ("ServiceMonitor", "emulator", lambda each: each["spec"]["endpoints"][0].update(paths=["/metrics"]), "paths"),
    ("DaemonSet", "emulator", change(["pod", "hostNetwork"], False), "the emulator is not in the host's network"),
    ("DaemonSet", "emulator", change(["pod", "hostNetworks"], True), "hostNetworks"),
    ("DaemonSet", "emulator", change(["pod", "initContainers"], []), "no step makes room"),
    ("DaemonSet", "emulator", change(["ports", 0, "containerPort"], "9200"), "is not of type 'integer'"),
    ("DaemonSet", "emulator", change(["ports", 0, "containerPort"], 9201), "the port is not 9200"),
    ("DaemonSet", "emulator", change(["env", 2, "value"], "[::]:9201"), "the admin port is open to the network"),
    ("DaemonSet", "emulator", change(["env", 1, "value"], "0.0.0.0:9200"), "the image's address goes over the file's"),
    ("DaemonSet", "emulator", change(["env", 0, "value"], "other"), "the emulator has another segment"),
    ("DaemonSet", "emulator", change(["securityContext", "runAsUser"], 0), "the emulator's uid is not 1000"),
    ("DaemonSet", "emulator", change(["pod", "tolerations"], []), "emulator does not come to GPU nodes"),
    ("DaemonSet", "emulator", change(["pod", "volumes", 1, "hostPath"], {"path": "/tmp"}), "is not the host's /dev/shm"),
    ("DaemonSet", "emulator", change(["volumeMounts"], []), "emulator does not have the host's /dev/shm"),
    ("Job", "conformance", change(["env"], []), "conformance does not say where its daemon or its segment is"),
    ("Job", "conformance", change(["env", 1, "value"], "other"), "conformance looks for another segment"),
    ("Pod", "client", change(["command", 2], "true"), "client puts no brackets around an IPv6 address"),
    ("Pod", "client", change(["securityContext", "runAsUser"], 0), "client is not the segment's owner"),
    ("Pod", "client", change(["env", 0, "valueFrom"], {"fieldRef": {"fieldPath": "status.podIP"}}), "not the node's address"),
    ("Pod", "client", change(["env", 0], {"name": "URL", "value": "$(NODE_IP)"}), "uses a variable before it is defined"),
    ("Pod", "vllm", change(["pod", "volumes", 2, "hostPath"], {"path": "/dev/shm", "type": "Directory"}), "something else"),
    ("Pod", "vllm", change(["pod", "volumes", 2, "hostPath", "type"], ""), "mounts something else than the segment's file"),
    ("Pod", "vllm", change(["volumeMounts", 2, "readOnly"], False), "vllm does not mount the segment, or not for reading"),
    ("Namespace", None, lambda each: each["metadata"].pop("labels"), "pod-security level"),
]

if __name__ == "__main__":
    unittest.main(argv=sys.argv, verbosity=1)
