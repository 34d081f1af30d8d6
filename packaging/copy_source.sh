#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Copies the sources as they are here, without what git ignores, into a new directory.
# Usage: copy_source.sh DIRECTORY
set -eu
mkdir "$1"
to=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."
git ls-files -co --exclude-standard -z | tar -c --null --no-recursion -T - --ignore-failed-read | tar -x -C "$to"
