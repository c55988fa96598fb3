"""Who may read what: private and gated repositories, answered as the hub answers."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Refusal:
    """An HTTP error with the headers that huggingface_hub turns into its exception types."""

    status: int
    code: str
    message: str


REPO_NOT_FOUND = Refusal(404, "RepoNotFound", "Repository not found")
REVISION_NOT_FOUND = Refusal(404, "RevisionNotFound", "Invalid rev id")
ENTRY_NOT_FOUND = Refusal(404, "EntryNotFound", "Entry not found")
BAD_CREDENTIALS = Refusal(401, "", "Invalid credentials in Authorization header")


@dataclass
class Access:
    """`members` see everything; `outsiders` are valid tokens that were granted nothing."""

    members: set[str] = field(default_factory=set)
    outsiders: set[str] = field(default_factory=set)
    private: set[str] = field(default_factory=set)
    gated: set[str] = field(default_factory=set)

    def refuse(self, repo: str, authorization: str | None, *, content: bool) -> Refusal | None:
        """Why a request is refused. A gated repository lists its files to all, but gives none."""
        token = bearer(authorization)
        if token in self.members:
            return None
        if token is not None and token not in self.outsiders and (self.members or self.outsiders):
            return BAD_CREDENTIALS
        if repo in self.private:
            status = 404 if token else 401
            return Refusal(status, "RepoNotFound", REPO_NOT_FOUND.message)
        if repo in self.gated and content:
            status = 403 if token else 401
            return Refusal(status, "GatedRepo", f"Access to model {repo} is restricted.")
        return None


def bearer(authorization: str | None) -> str | None:
    """The token of an Authorization header."""
    scheme, _, token = (authorization or "").partition(" ")
    return token if scheme.lower() == "bearer" and token else None
