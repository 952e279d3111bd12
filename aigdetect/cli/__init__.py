"""Commands: one thin file each; they parse options, call the library and print."""
