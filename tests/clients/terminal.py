"""Types at a command that has a terminal: `python -I -S terminal.py [WAIT-FOR KEYS]… -- COMMAND…`.

Once all of WAIT-FOR has been written, KEYS (with Python's escapes) are typed.  What the terminal showed comes out
here; the command's status is ours.
"""

import os
import pty
import sys


def main(words: list[str]) -> int:
    end = words.index("--")
    steps, command = words[:end], words[end + 1 :]
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvp(command[0], command)
    shown = b""
    while True:
        while steps and steps[0].encode() in shown:
            os.write(terminal, steps[1].encode().decode("unicode_escape").encode())
            steps = steps[2:]
        try:
            told = os.read(terminal, 65536)
        except OSError:  # The last one at the other end has closed it.
            break
        if not told:
            break
        shown += told
    os.write(1, shown)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
