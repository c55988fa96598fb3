"""One module a verb: takes parsed values, returns what happened, prints nothing."""
