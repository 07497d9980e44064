"""Drafts of a small run, for tests that need events and do not care much which."""

from __future__ import annotations

from aurea.domain.events import AttemptStarted, Draft, ItemMoved, LandingLanded, ModelAsked, PlanAccepted, RunCreated
from aurea.domain.evidence import Base, Landed
from aurea.domain.lifecycle import Actor, ItemState
from aurea.domain.spec import ItemSpec

ITEM = "storage"


def created(project: str = "notes") -> Draft:
    """A run begins."""
    fact = RunCreated(
        project=project,
        spec={"project": project, "objective": "Notizen für später"},
        spec_digest="sha256:" + "5" * 64,
        repo="/home/ada/notes",
        made_repo=False,
        base=Base(ref="refs/heads/main", sha="0" * 40),
        target_ref="refs/heads/aurea/run-1",
        provider="replay",
        model="scripted",
        sandbox="process",
        folder="/home/ada/.local/state/aurea/runs/run-1",
        version="0.1.0",
    )
    return Draft(fact=fact)


def planned(*items: str) -> Draft:
    """A plan of independent items is accepted."""
    specs = tuple(ItemSpec(id=name, goal=f"make {name}", criteria=("it works",)) for name in items or (ITEM,))
    return Draft(fact=PlanAccepted(round=1, items=specs, critical_path=(specs[0].id,)))


def moved(source: ItemState, target: ItemState, *, actor: str = Actor.MANAGER, item: str = ITEM) -> Draft:
    """An item is moved."""
    return Draft(fact=ItemMoved(source=source, target=target, cause="it is time"), actor=actor, item=item)


def started(number: int = 1, *, item: str = ITEM) -> Draft:
    """An attempt begins."""
    fact = AttemptStarted(base="0" * 40, role="coder", model="replay:scripted", prompt="sha256:" + "a" * 64)
    return Draft(fact=fact, item=item, attempt=number)


def landed(number: int = 1, *, item: str = ITEM) -> Draft:
    """An item lands."""
    fact = LandingLanded(landed=Landed(sha="1" * 40, tree="2" * 40, gate="sha256:" + "3" * 64), parent="0" * 40)
    return Draft(fact=fact, actor=Actor.LANDER, item=item, attempt=number)


def asked(step: int, conversation: str = "planner-1") -> Draft:
    """A model call is about to be made; as many of these as one likes may follow on a run's beginning."""
    fact = ModelAsked(
        conversation=conversation,
        role="planner",
        step=step,
        provider="replay",
        model="scripted",
        fingerprint="sha256:f",
    )
    return Draft(fact=fact)
