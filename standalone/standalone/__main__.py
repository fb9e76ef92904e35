"""The ``radloop`` command. Errors are told in three answers: what was expected, what came, what to do."""

import sys


def main() -> None:
    """Run the command and turn an error of ours into words and an exit code."""
    from radloop.errors import RadloopError
    from standalone.commands.root import app

    try:
        app(prog_name="radloop")
    except RadloopError as error:
        lines = [f"error: {error.code}"]
        answers = (("expected", error.expected), ("got", error.got), ("do", error.do))
        lines += [f"  {name + ':':<10}{text}" for name, text in answers if text]
        print("\n".join(lines), file=sys.stderr)
        sys.exit(1)
    except OSError as error:
        # A full disk, a folder that is not ours: the system's own words say it best.
        print(f"error: file-system\n  got:      {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
