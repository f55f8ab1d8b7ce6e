"""`python -m flows` is the program `specdenoise`."""

from flows.cli import main

main()
