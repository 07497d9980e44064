"""Any history, legal or not, through the book: what is illegal is never stored, and a run can always be ended."""

import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from aurea.domain.errors import AureaError, Blocked
from aurea.domain.events import AttemptEnded, Draft, ItemMoved, RunEnded
from aurea.domain.lifecycle import FINAL, MOVES, Actor, ItemState
from aurea.ledger.book import Book
from aurea.ledger.verify import verify
from aurea.testing import drafts
from aurea.testing.clock import SimulatedClock
from aurea.testing.store import MemoryEventStore

ITEMS = ("storage", "api", "docs")
RUN = "run-1"

items = st.sampled_from(ITEMS)
processes = st.integers(0, 1)


class AnyHistory(RuleBasedStateMachine):
    """Two processes on one ledger, which try everything; a model of the items' states tells what must happen."""

    @initialize()
    def begin(self):
        self.store = MemoryEventStore()
        self.books_made = [Book(self.store, SimulatedClock()) for _ in range(2)]
        self.books_made[0].append(RUN, [drafts.created(), drafts.planned(*ITEMS)])
        self.states = [book.state(RUN) for book in self.books_made]
        self.expected = dict.fromkeys(ITEMS, ItemState.PLANNED)
        self.landed = set()

    @rule(which=processes, item=items, pick=st.integers(0, 99))
    def go_on(self, which, item, pick):
        """A move that the table has, so that histories get somewhere."""
        ways = sorted((a, t) for a in Actor for s, t in MOVES[a] if s is self.expected[item])
        if ways:
            self.move(which, item, *ways[pick % len(ways)], lie=False)

    @rule(which=processes, item=items, actor=st.sampled_from(Actor), to=st.sampled_from(ItemState), lie=st.booleans())
    def try_any_move(self, which, item, actor, to, lie):
        self.move(which, item, actor, to, lie)

    def move(self, which, item, actor, target, lie):
        source = ItemState.MERGING if lie else self.expected[item]
        legal = (
            source is self.expected[item]
            and (source, target) in MOVES[actor]
            and (target is not ItemState.COMPLETE or item in self.landed)
        )
        draft = Draft(fact=ItemMoved(source=source, target=target, cause="tried"), actor=actor, item=item)
        assert self.took(which, draft) is legal
        if legal:
            self.expected[item] = target

    @rule(which=processes, item=items, number=st.integers(1, 4))
    def start(self, which, item, number):
        legal = number == len(self.fresh().items[item].attempts) + 1
        assert self.took(which, drafts.started(number, item=item)) is legal

    @rule(which=processes, item=items, number=st.integers(1, 3))
    def end(self, which, item, number):
        legal = number <= len(self.fresh().items[item].attempts)
        draft = Draft(fact=AttemptEnded(outcome="submitted"), item=item, attempt=number)
        assert self.took(which, draft) is legal

    @rule(which=processes, item=items)
    def land(self, which, item):
        legal = item not in self.landed and len(self.fresh().items[item].attempts) > 0
        assert self.took(which, drafts.landed(item=item)) is legal
        if legal:
            self.landed.add(item)

    @rule(which=processes, item=items)
    def two_at_once_of_which_one_is_illegal(self, which, item):
        good = drafts.asked(1)
        bad = Draft(fact=ItemMoved(source=self.expected[item], target=self.expected[item], cause="x"), item=item)
        assert not self.took(which, good, bad)

    @rule(which=processes, item=items)
    def a_full_disk(self, which, item):
        self.store.fail_with = Blocked("the disk is full")
        assert not self.took(which, drafts.asked(2))
        self.store.fail_with = None

    def took(self, which, *told):
        before = len(list(self.store.rows()))
        try:
            self.books_made[which].append(RUN, told)
        except AureaError:
            assert len(list(self.store.rows())) == before
            return False
        assert len(list(self.store.rows())) == before + len(told)
        return True

    def fresh(self):
        self.books_made[0].refresh(RUN)
        return self.states[0]

    @invariant()
    def both_processes_agree_with_the_model(self):
        for book, state in zip(self.books_made, self.states, strict=True):
            book.refresh(RUN)
            assert {name: item.state for name, item in state.items.items()} == self.expected
        assert self.states[0] == self.states[1]

    def teardown(self):
        if not hasattr(self, "store"):
            return
        # However it got here: the manager alone brings the run to an end.
        book = self.books_made[0]
        for name, state in self.expected.items():
            if state not in FINAL:
                book.append(RUN, [drafts.moved(state, ItemState.ABANDONED, item=name)])
        book.append(RUN, [Draft(fact=RunEnded(state="cancelled"))])
        assert all(item.state in FINAL for item in book.state(RUN).items.values())
        with tempfile.TemporaryDirectory() as folder:
            assert verify(self.store, Path(folder)).ok
        for each in self.books_made:
            each.close()


TestAnyHistory = AnyHistory.TestCase
TestAnyHistory.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
