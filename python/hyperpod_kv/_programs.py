# SPDX-License-Identifier: Apache-2.0
"""The programs in the wheel as commands of the environment that it is installed in."""

import os
import sys

from .daemon import program
from .errors import Error


def main() -> None:
    """Becomes the program of the name by which it was called."""
    name = os.path.basename(sys.argv[0])
    try:
        path = program(name)
        os.execv(path, [name, *sys.argv[1:]])
    except (Error, OSError) as error:
        sys.exit(f"{name}: {error}")
