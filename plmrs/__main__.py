"""Where the executable begins: Ctrl-C ends it in a line from its first import on."""

import sys


def main() -> int:
    """Run the command line, and give its exit code: that of `plmrs.cli.main`."""
    try:
        from plmrs.cli import main as run

        return run()
    except KeyboardInterrupt:
        sys.stderr.write("Error: Interrupted.\n")  # as the console says it, which may not be loaded yet
        return 130


if __name__ == "__main__":
    sys.exit(main())
