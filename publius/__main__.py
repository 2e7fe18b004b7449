"""`python -m publius` is the command `publius`: the form in which `accelerate launch -m` takes it."""

from __future__ import annotations

import sys

from publius import require_own_rooms


def main() -> None:
    """Run the command line, or say in one line which folder hides a package of ours."""
    try:
        require_own_rooms()
    except ImportError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)
    from publius.cli import main as run_command_line

    run_command_line()


if __name__ == "__main__":
    main()
