"""Makes a contract's Python package of its `.proto` files, and pages about it for the authors of plugins.

`python -m effect_plugin.generate --help` tells how. It needs the extra `generate` of this package.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from ._generator import command
from ._version import __version__


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command with arguments, those of the process if there are none; answers its exit code.

    It is 1 where no package can be made, and stderr says why.
    """
    return command.main(arguments, __version__)


if __name__ == "__main__":
    sys.exit(main())
