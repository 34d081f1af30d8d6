#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What a container of the image runs: the emulator with the options given, or the command given.
case "${1:-}" in
  "" | -*) exec hyperpod-emulator "$@" ;;
  *) exec "$@" ;;
esac
