"""Prints a text again and again: `flood.py <descriptor> <text> [<bytes in all>]`.

What it prints on is shared with the plugin, where Node.js has made it non-blocking, so that other programs would fail.
"""

import os
import select
import sys

descriptor, text, *rest = sys.argv[1:]
chunk = text.replace("\\n", "\n").encode() * 10_000
left = int(rest[0]) if rest else sys.maxsize
while left > 0:
    try:
        left -= os.write(int(descriptor), chunk[:left])
    except BlockingIOError:
        select.select([], [int(descriptor)], [])
