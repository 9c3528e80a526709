"""Exit codes that are no error's own (those are in mlib.core.errors); a contract."""

from __future__ import annotations

#: Finished, but some items failed, conflict or are corrupt; they were listed.
FINISHED_WITH_PROBLEMS = 3
#: A guard refused to go on.
REFUSED = 4
#: Ended by Ctrl-C or SIGTERM; what was finished is kept.
INTERRUPTED = 130
TERMINATED = 143
