"""The maintainers' recipe of the embedded stellar grid; see README.md. Never used at run time."""
