"""The three register calls through the AWS SDK for Python: one row for each parameter, response field and exception.

A row is named after what it checks, in boto3's spelling, and has its own certificates in FOLDER/ROW. Prints the names
of the rows that pass. Run by tests/it/sandbox/boto3.rs:
    python3 boto3_register_calls.py URL FOLDER
"""

import sys
import traceback

import ca_rows  # noqa: F401
import common_rows  # noqa: F401
import device_rows  # noqa: F401
from register_calls import ROWS, Certificates


def main():
    failed = False
    for name, check in ROWS.items():
        try:
            check(Certificates(name))
            print(name)
        except Exception:
            failed = True
            print(f"{name}:", file=sys.stderr)
            traceback.print_exc()
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
