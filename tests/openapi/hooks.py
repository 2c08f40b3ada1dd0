"""What no schema tells: cursors are the server's to make, and a text that looks like one is none."""

import schemathesis

QUERY = ["after", "asOf", "minCursor"]
HEADERS = ["Wellspring-Min-Cursor"]


@schemathesis.hook
def map_case(context, case):
    """A request that is to be accepted has no invented cursor."""
    if case.meta is not None and case.meta.generation.mode.is_positive:
        for name in QUERY:
            (case.query or {}).pop(name, None)
        for name in HEADERS:
            (case.headers or {}).pop(name, None)
    return case
