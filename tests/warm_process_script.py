"""Load a Keras backend once, then run each script of the input in a fork, see `run_under` in conftest.py.

Loading takes longer than most scripts. No operation has run before a fork, so that scripts do not see each
other and no thread is lost.
"""

import json
import os
import sys
import traceback


def take_the_place(task):
    """Be a process that was started for the script, and end."""
    writing = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    for number, (name, flags) in enumerate(
        [("given", os.O_RDONLY), ("printed", writing), ("errors", writing)]
    ):
        os.dup2(os.open(task[name], flags, 0o600), number)
    sys.stdin = os.fdopen(0, closefd=False)  # the old one has read ahead
    sys.argv = [task["name"], *task["arguments"]]
    names = {"__name__": "__main__", "__file__": task["name"]}
    code = 0
    try:
        exec(compile(task["source"], task["name"], "exec"), names)
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    import keras  # noqa: F401

    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            take_the_place(json.loads(line))
        status = os.waitpid(child, 0)[1]
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()
