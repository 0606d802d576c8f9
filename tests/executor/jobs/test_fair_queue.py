from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from executor.jobs.fair_queue import QueueEntry, next_turn


# None ends the running job; a letter is a new job of that group.
@given(st.lists(st.sampled_from(["a", "b", "c", None]), max_size=60))
def test_while_a_group_waits_no_other_gets_more_than_two_turns(events: list[str | None]) -> None:
    queue: list[QueueEntry] = []
    turns_of_others: dict[str, Counter[str]] = {}
    for sequence, group in enumerate([*events, *[None] * len(events)]):
        if group:
            turn = next_turn(group, queue, min(queue, default=None))
            queue.append(QueueEntry(turn, sequence, "scan", group, str(sequence)))
            turns_of_others.setdefault(group, Counter())
        elif queue:
            served = min(queue)
            queue.remove(served)
            turns_of_others.pop(served.group)
            for others in turns_of_others.values():
                others[served.group] += 1
                assert max(others.values()) <= 2
            if served.group in {entry.group for entry in queue}:
                turns_of_others[served.group] = Counter()

    assert not queue
