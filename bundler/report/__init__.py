"""Pages for people: one HTML file each, with its style and its charts inside, and nothing fetched when it is opened.

A page is a pure function of a verb's `-o json` document. There is no script in it, so it reads the same by mail, in
print, and on a machine that lets no script run.
"""

from __future__ import annotations

from bundler.report.evaluation_page import evaluation_page
from bundler.report.plan_page import plan_page

__all__ = ["evaluation_page", "plan_page"]
