"""The commands of the command line: each module adds its own, functions of arguments that return an `Outcome`."""
