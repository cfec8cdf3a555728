"""`python -m bascule`: the command line, and the daemon, whose parts only this root and its own may know."""

import sys


def main() -> int:
    """Do what the words say.  The exit status."""
    words = sys.argv[1:]
    if words[:1] == ["daemon"]:
        from bascule.daemon import main as daemon

        return daemon(words[1:])
    from bascule.cli.start import main as command_line

    return command_line(words)


if __name__ == "__main__":
    sys.exit(main())
