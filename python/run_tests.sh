#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs the tests of the Python package that is built in a tree.
# Usage: run_tests.sh BUILD_DIRECTORY PYTHON [PYTEST ARGUMENT...]      files are those of the folder tests
set -eu
build=$(realpath "$1")
python=$2
shift 2
cd "$(dirname "$0")/tests"
PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$build/python HYPERPOD_KV_BIN=$build/bin \
  exec "$python" -m pytest -q -p hyperpod_kv.pytest_plugin -p no:cacheprovider "$@"
