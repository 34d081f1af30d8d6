# SPDX-License-Identifier: Apache-2.0
"""Builds the wheel and the source distribution: a PEP 517 backend that needs CMake and the packages
that debian-packages.txt lists under build and python, and nothing from an index.

    python3 backend.py wheel|sdist DIRECTORY

The programs and the extension module are linked with all that they use but glibc. If none needs a
glibc newer than 2.34, the wheel is for every such Linux (manylinux_2_34), else for this one.
"""

from __future__ import annotations

import base64
import csv
import gzip
import hashlib
import io
import os
import pathlib
import platform
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import time
import zipfile

NAME = "hyperpod_kv"
PROGRAMS = ("hyperpod-emulator", "hyperpod-kv")
HERE = pathlib.Path(__file__).resolve().parent
# In a source distribution the project lies in a folder beside this file.
TREE = HERE / "source" if (HERE / "source").is_dir() else HERE.parent
PACKAGE = TREE / "python" / NAME


def _version() -> str:
    for line in (TREE / "CMakeLists.txt").read_text().splitlines():
        if line.startswith("project("):
            return line.split("VERSION ")[1].split()[0]
    raise RuntimeError("CMakeLists.txt tells no version")


STEM = f"{NAME}-{_version()}"
INFO = f"{STEM}.dist-info"


def _metadata() -> str:
    return f"""Metadata-Version: 2.1
Name: hyperpod-kv
Version: {_version()}
Summary: SageMaker HyperPod's KV cache: a client, the emulator as a pytest fixture, a connector for LMCache
License: Apache-2.0
Requires-Python: >=3.9
Description-Content-Type: text/markdown

{(TREE / "docs" / "python.md").read_text()}"""


ENTRY_POINTS = f"""[pytest11]
hyperpod_kv.pytest_plugin = hyperpod_kv.pytest_plugin

[console_scripts]
{chr(10).join(f"{name} = hyperpod_kv._programs:main" for name in PROGRAMS)}
"""


def _build(stage: pathlib.Path) -> None:
    """Builds into the project's build/wheel, and puts what is built into the package in ``stage``."""
    build = TREE / "build" / f"wheel-{sys.implementation.cache_tag}"
    # Compiled as for ./dev build, with whose objects a compiler cache then serves; linked otherwise.
    # Warnings are errors in a clone alone: elsewhere the compiler may be another one.
    subprocess.run(["cmake", "--preset", "release", "-B", str(build), "-DHYPERPOD_PORTABLE=ON",
                    "-DHYPERPOD_TESTS=OFF", "-DHYPERPOD_BENCH=OFF", "-DHYPERPOD_CONFORMANCE=OFF",
                    f"-DHYPERPOD_WERROR={'ON' if (TREE / '.git').exists() else 'OFF'}",
                    f"-DPython3_EXECUTABLE={sys.executable}", "-Wno-dev"],
                   cwd=TREE, check=True, stdout=subprocess.DEVNULL)
    made = subprocess.run(["cmake", "--build", str(build), "--target", f"{NAME}_native", *PROGRAMS],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if made.returncode != 0:
        sys.exit(made.stdout + f"backend: {build} does not build")
    (stage / "bin").mkdir(parents=True)
    for name in PROGRAMS:
        subprocess.run(["strip", "-o", stage / "bin" / name, build / "bin" / name], check=True)
    module = "_native" + sysconfig.get_config_var("EXT_SUFFIX")
    subprocess.run(["strip", "--strip-unneeded", "-o", stage / module,
                    build / "python" / NAME / module], check=True)


def _platform(stage: pathlib.Path) -> str:
    machine = platform.machine()
    check = subprocess.run([TREE / "packaging" / "check_portable.sh", stage])
    if check.returncode == 0:
        return f"manylinux_2_34_{machine}"
    print("backend: so the wheel is for this system alone", file=sys.stderr)
    return f"linux_{machine}"


def _files(stage: pathlib.Path) -> dict[str, tuple[bytes, int]]:
    """Everything in the wheel but its RECORD: content and mode by name."""
    files = {}
    for path in sorted(PACKAGE.iterdir()):
        if path.suffix in (".py", ".pyi") or path.name == "py.typed":
            files[f"{NAME}/{path.name}"] = (path.read_bytes(), 0o644)
    for path in sorted((TREE / "fixtures" / "scenarios").glob("*.yaml")):
        files[f"{NAME}/scenarios/{path.name}"] = (path.read_bytes(), 0o644)
    for path in sorted(stage.rglob("*")):
        if path.is_file():
            files[f"{NAME}/{path.relative_to(stage)}"] = (path.read_bytes(), 0o755)
    return files


def _digest(content: bytes) -> str:
    hashed = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=")
    return "sha256=" + hashed.decode()


def _epoch() -> int:
    """The date of all files, the same for the same source."""
    return max(int(os.environ.get("SOURCE_DATE_EPOCH", 0)), 315532800)  # zip begins with 1980


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None) -> str:
    with tempfile.TemporaryDirectory() as folder:
        stage = pathlib.Path(folder) / NAME
        _build(stage)
        python = f"cp{sys.version_info.major}{sys.version_info.minor}"
        tag = f"{python}-{python}-{_platform(stage)}"
        files = _files(stage)
    files.update({
        f"{INFO}/METADATA": (_metadata().encode(), 0o644),
        f"{INFO}/WHEEL": (f"Wheel-Version: 1.0\nGenerator: hyperpod-kv\nRoot-Is-Purelib: false\n"
                          f"Tag: {tag}\n".encode(), 0o644),
        f"{INFO}/entry_points.txt": (ENTRY_POINTS.encode(), 0o644),
        f"{INFO}/LICENSE": ((TREE / "LICENSE").read_bytes(), 0o644),
    })
    record = io.StringIO()
    rows = csv.writer(record, lineterminator="\n")
    rows.writerows([name, _digest(content), len(content)] for name, (content, _) in files.items())
    rows.writerow([f"{INFO}/RECORD", "", ""])
    files[f"{INFO}/RECORD"] = (record.getvalue().encode(), 0o644)

    wheel = f"{STEM}-{tag}.whl"
    date = time.gmtime(_epoch())[:6]
    with zipfile.ZipFile(pathlib.Path(wheel_directory) / wheel, "w") as archive:
        for name, (content, mode) in files.items():
            entry = zipfile.ZipInfo(name, date)
            entry.external_attr = (0o100000 | mode) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
    return wheel


def build_sdist(sdist_directory, config_settings=None) -> str:
    if TREE != HERE.parent:
        raise RuntimeError("a source distribution is made from the project's repository")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=TREE, check=True, capture_output=True)
    paths = [TREE / name for name in listed.stdout.decode().split("\0") if name]
    files = {f"source/{path.relative_to(TREE)}": (path.read_bytes(), path.stat().st_mode & 0o777)
             for path in paths if path.is_file()}
    for name in ("pyproject.toml", "backend.py", "README.md"):
        files[name] = ((HERE / name).read_bytes(), 0o644)
    files["PKG-INFO"] = (_metadata().encode(), 0o644)

    sdist = f"{STEM}.tar.gz"
    with open(pathlib.Path(sdist_directory) / sdist, "wb") as out, \
            gzip.GzipFile("", "wb", mtime=_epoch(), fileobj=out) as packed, \
            tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, (content, mode) in sorted(files.items()):
            entry = tarfile.TarInfo(f"{STEM}/{name}")
            entry.size = len(content)
            entry.mode = mode
            entry.mtime = _epoch()
            archive.addfile(entry, io.BytesIO(content))
    return sdist


def main() -> None:
    kinds = {"wheel": build_wheel, "sdist": build_sdist}
    if len(sys.argv) != 3 or sys.argv[1] not in kinds:
        sys.exit("usage: backend.py wheel|sdist DIRECTORY")
    os.makedirs(sys.argv[2], exist_ok=True)
    print(os.path.join(sys.argv[2], kinds[sys.argv[1]](sys.argv[2])))


if __name__ == "__main__":
    main()
