"""The user's repository and the workspaces of attempts, through the git program; git data of an agent is never used."""

from aurea.adapters.git.cleaning import delete_folder, remove_strays
from aurea.adapters.git.create import create_repository, follow
from aurea.adapters.git.inspection import Opened, inspect_repository
from aurea.adapters.git.process import GitFailed
from aurea.adapters.git.repository import GitRepository
from aurea.adapters.git.workspace import GitWorkspace

__all__ = [
    "GitFailed",
    "GitRepository",
    "GitWorkspace",
    "Opened",
    "create_repository",
    "delete_folder",
    "follow",
    "inspect_repository",
    "remove_strays",
]
