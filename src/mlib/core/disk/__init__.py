"""The disk: everything that writes, replaces, moves or removes a file does it through here."""
