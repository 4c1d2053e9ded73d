"""`python -m orchestra_graph`: the command line, where its script is not on the PATH."""

from orchestra_graph.cli.main import main

if __name__ == "__main__":
    main()
