"""Run the command `publius`, also as `python -m publius`, the form that `accelerate launch -m` needs."""

from __future__ import annotations

import sys

from publius import require_own_packages, require_supported_system


def main() -> None:
    """Run the command line, or print in one line why it cannot start here."""
    try:
        require_supported_system()  # before any import of a module that only Unix has
        require_own_packages()
    except ImportError as error:
        if sys.stderr is not None:  # None if the descriptor is closed
            sys.stderr.write(f"error: {error}\n")
        sys.exit(2)
    from core.terminal.interrupts import caught, end_interrupted, interruption_message, say_nothing
    from core.terminal.streams import make_steady

    make_steady()
    with caught():  # here, since the imports of the command line take a while
        try:
            from publius.cli import main as run_command_line

            run_command_line()
        except KeyboardInterrupt:
            from training.launch.worker import is_supervised

            if not is_supervised():  # else the launcher says it
                sys.stderr.write(f"{interruption_message()}\n")
            say_nothing()
            sys.exit(end_interrupted())


if __name__ == "__main__":
    main()
