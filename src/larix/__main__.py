"""`python -m larix` is `larix`."""

from larix.cli.main import run

run()
