"""The command line: one module for each sub-command, imported only when it is called."""
