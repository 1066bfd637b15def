"""The command line, and the search that an environment variable asks for."""
