"""A program, not to be imported: DOT on stdin, a picture on stdout. `svg` runs it in a process of its own.

pygraphviz calls Graphviz, which is C: it is not made for threads, holds the interpreter while it works (an engine's
leases and timers would stand still), writes to stderr what cannot be caught as a warning, and may be brought down by a
hostile graph. None of that reaches the process that asked. It ends with 3 if pygraphviz cannot be imported.
"""

import sys

if __name__ == "__main__":
    try:
        import pygraphviz
    except ImportError:
        sys.exit(3)
    graph = pygraphviz.AGraph(string=sys.stdin.buffer.read().decode())
    sys.stdout.buffer.write(graph.draw(format=sys.argv[1], prog="dot"))
