"""The command line `orchestra`: what a user of the library could write, with words for people and for programs.

Rule 1. A command returns a `Report`; `main` is the only place that prints it, as text or as one JSON document.
Rule 2. Whoever asks for ``--help`` waits for nothing: the files of the commands, and what they import at their top,
        import only click, the standard library and each other. What a command needs besides is imported in its
        function. See `tests/cli/test_startup.py`.
Rule 3. Code comes from a target that the user named, never from the database. What can be read without code is read
        without it.
Rule 4. A line that a message tells the user to type works when it is typed: with the ``--db`` and ``--target`` of
        this call.
"""
