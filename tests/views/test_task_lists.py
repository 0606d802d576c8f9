"""The list of tasks: its order, its last results, and what is done to many tasks at once."""

import re
import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from flask.testing import FlaskClient
from sqlalchemy import Engine, func, select, update

from tests.conftest import NOW, handle_messages
from tests.views.conftest import MakeRun, statements
from vulsweb.extensions import db
from vulsweb.models import Run, RunStatus, ScheduledTask, Trigger
from vulsweb.runs import lifecycle, starting

MakeTask = Callable[..., ScheduledTask]
LIVE = {"HX-Request": "true"}
KEY = "a-random-value-of-a-form"


def count(model: type[ScheduledTask] | type[Run]) -> int:
    return db.session.scalar(select(func.count()).select_from(model)) or 0


def names(page: str) -> list[str]:
    return re.findall(r'id="task-link-\d+"[^>]*><bdi>(.*?)</bdi>', page, re.DOTALL)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["alpha", "Beta", "gamma"]),
        ("?sort=-name", ["gamma", "Beta", "alpha"]),
        ("?sort=next_run", ["gamma", "alpha", "Beta"]),
        ("?sort=-next_run", ["alpha", "gamma", "Beta"]),
        ("?sort=last_run", ["Beta", "alpha", "gamma"]),
        ("?sort=-last_run", ["alpha", "Beta", "gamma"]),
        ("?sort=nonsense", ["alpha", "Beta", "gamma"]),
        ("?sort=--name", ["alpha", "Beta", "gamma"]),
    ],
)
def test_the_list_goes_by_what_the_address_says(
    signed_in: FlaskClient, make_task: MakeTask, make_run: MakeRun, query: str, expected: list[str]
) -> None:
    make_task(name="gamma", next_run_at=NOW)
    beta = make_task(name="Beta", is_active=False)
    alpha = make_task(name="alpha", next_run_at=NOW + timedelta(hours=1))
    make_run(RunStatus.SUCCESS, beta)
    make_run(RunStatus.SUCCESS, alpha)

    page = signed_in.get(f"/tasks/{query}").text

    assert names(page) == expected


def test_the_counts_come_with_the_list_that_has_changed(signed_in: FlaskClient, make_task: MakeTask) -> None:
    make_task()
    page = signed_in.get("/tasks/").text
    make_task(task_type="db_update", database_type="nvd", is_active=False)

    part = signed_in.get(live_address(page), headers=LIVE).text

    assert counts(page) == ["1", "1", "1", "0", "0"]
    assert counts(part) == ["2", "1", "1", "1", "0"]
    assert part.lstrip().startswith('<div id="task-table"')
    assert re.search(r'<nav id="task-counts"[^>]*hx-swap-oob="true"', part)
    assert "hx-swap-oob" not in page


def counts(page: str) -> list[str]:
    nav = page[page.index('<nav id="task-counts"') :].partition("</nav>")[0]
    return re.findall(r"<b>([\d,]+)</b>", nav)


def test_a_column_head_turns_its_order_round_and_keeps_the_filter(
    signed_in: FlaskClient, make_task: MakeTask
) -> None:
    make_task()

    page = " ".join(signed_in.get("/tasks/?type=scan&sort=next_run").text.split())

    assert re.search(r'aria-sort="ascending"> <a id="sort-next_run"[^>]*sort=-next_run', page)
    assert re.search(r'aria-sort="none"> <a id="sort-last_run"[^>]*type=scan&amp;sort=-last_run', page)
    assert page.count('aria-sort="none"') == 2


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("result=success", ["well"]),
        ("result=failed", ["bad", "late"]),
        ("result=partial", []),
        ("result=running", ["busy"]),
        ("result=never", ["new"]),
        ("result=nonsense", ["bad", "busy", "late", "new", "well"]),
        ("result=failed&search=LAT&type=scan&status=active", ["late"]),
        ("result=failed&status=inactive", []),
    ],
)
def test_the_last_result_can_be_asked_for(
    signed_in: FlaskClient, make_task: MakeTask, make_run: MakeRun, query: str, expected: list[str]
) -> None:
    make_task(name="new")
    for name, status in [
        ("well", RunStatus.SUCCESS),
        ("bad", RunStatus.FAILED),
        ("late", RunStatus.TIMEOUT),
        ("busy", RunStatus.QUEUED),
    ]:
        make_run(status, make_task(name=name))

    page = signed_in.get(f"/tasks/?{query}").text

    assert names(page) == expected


@pytest.mark.parametrize("path", ["/tasks/", "/tasks/1", "/runs/"])
def test_a_live_list_that_has_not_changed_asks_neither_tasks_nor_runs(
    signed_in: FlaskClient, make_run: MakeRun, path: str
) -> None:
    run = make_run(RunStatus.RUNNING)
    address = live_address(signed_in.get(path).text)
    run.heartbeat_at = NOW + timedelta(seconds=2)
    db.session.commit()

    with statements() as sent:
        answer = signed_in.get(address, headers=LIVE)

    assert answer.status_code == 204
    assert not [statement for statement in sent if re.search(r"FROM (scheduled_tasks|runs)\b", statement)]
    assert len(sent) == 2


def live_address(page: str) -> str:
    found = re.search(r'id="(?:task-table|run-table|history)"[^>]*?hx-get="([^"]+)"', page)
    assert found is not None
    return found[1].replace("&amp;", "&")


@pytest.mark.parametrize("path", ["/tasks/", "/runs/"])
def test_a_list_drawn_while_a_change_is_being_committed_is_drawn_again(
    signed_in: FlaskClient, make_run: MakeRun, path: str
) -> None:
    run = make_run(RunStatus.RUNNING)

    with db.engine.connect() as other:
        other.execute(update(Run).where(Run.id == run.id).values(status=RunStatus.SUCCESS))
        early = signed_in.get(path).text
        still = signed_in.get(live_address(early), headers=LIVE)
        other.commit()
    after = signed_in.get(live_address(still.text), headers=LIVE)
    quiet = signed_in.get(live_address(after.text), headers=LIVE)

    assert 'class="badge running"' in early
    assert (still.status_code, 'class="badge running"' in still.text) == (200, True)
    assert (after.status_code, 'class="badge success"' in after.text) == (200, True)
    assert quiet.status_code == 204


def test_a_list_is_not_taken_for_settled_while_an_earlier_writer_is_still_to_commit(
    signed_in: FlaskClient, make_run: MakeRun
) -> None:
    first, second = make_run(RunStatus.RUNNING), make_run(RunStatus.RUNNING)

    with db.engine.connect() as one, db.engine.connect() as two:
        one.execute(update(Run).where(Run.id == first.id).values(status=RunStatus.SUCCESS))
        two.execute(update(Run).where(Run.id == second.id).values(status=RunStatus.FAILED))
        two.commit()
        early = signed_in.get("/tasks/").text
        one.commit()
    after = signed_in.get(live_address(early), headers=LIVE)

    assert 'class="badge failed"' in early
    assert 'class="badge running"' in early
    assert (after.status_code, 'class="badge running"' in after.text) == (200, False)


def test_a_reader_among_busy_writers_ends_with_what_they_left(
    signed_in: FlaskClient, make_run: MakeRun
) -> None:
    ids = [make_run(RunStatus.RUNNING).id for _ in range(3)]
    writers = [threading.Thread(target=write_often, args=(db.engine, run_id)) for run_id in ids]
    page = signed_in.get("/tasks/").text

    for writer in writers:
        writer.start()
    answers: list[int] = []
    while any(writer.is_alive() for writer in writers) or answers[-1] != 204:
        answer = signed_in.get(live_address(page), headers=LIVE)
        answers.append(answer.status_code)
        page = answer.text or page

    assert 200 in answers
    assert re.findall(r'class="badge (\w+)"', page) == ["success"] * 3


def write_often(engine: Engine, run_id: int) -> None:
    """Change a run in many transactions that take their time to commit, and leave it a success."""
    for status in [RunStatus.FAILED, RunStatus.SUCCESS] * 15:
        with engine.begin() as connection:
            connection.execute(update(Run).where(Run.id == run_id).values(status=status))
            connection.execute(select(func.pg_sleep(0.003)))


def test_a_change_that_is_taken_back_leaves_the_list_as_it_was(
    signed_in: FlaskClient, make_run: MakeRun
) -> None:
    run = make_run(RunStatus.RUNNING)
    with db.engine.connect() as other:
        other.execute(update(Run).where(Run.id == run.id).values(status=RunStatus.SUCCESS))
        early = signed_in.get("/tasks/").text
        other.rollback()

    settled = signed_in.get(live_address(early), headers=LIVE)
    quiet = signed_in.get(live_address(settled.text), headers=LIVE)

    assert 'class="badge running"' in settled.text
    assert quiet.status_code == 204


def test_two_writers_do_not_wait_for_each_other(make_run: MakeRun) -> None:
    first, second = make_run(RunStatus.RUNNING), make_run(RunStatus.RUNNING)

    with db.engine.connect() as one, db.engine.connect() as two:
        two.exec_driver_sql("SET lock_timeout = '2s'")
        one.execute(update(Run).where(Run.id == first.id).values(status=RunStatus.SUCCESS))
        two.execute(update(Run).where(Run.id == second.id).values(status=RunStatus.SUCCESS))
        two.commit()
        one.commit()

    db.session.refresh(first)
    assert first.status is RunStatus.SUCCESS


def test_run_now_on_many_tells_which_were_running(
    signed_in: FlaskClient, make_task: MakeTask, make_run: MakeRun, sent: list[int]
) -> None:
    busy = make_run(RunStatus.RUNNING)
    idle = [make_task() for _ in range(3)]
    chosen = [busy.task_id, *(task.id for task in idle), 999]

    answer = signed_in.post("/tasks/bulk?sort=-name&type=scan", data={"action": "run", "ids": chosen})

    assert (answer.status_code, answer.location) == (303, "/tasks/?type=scan&sort=-name")
    assert "3 runs queued; 1 already running." in signed_in.get(answer.location).text
    started = db.session.scalars(select(Run).where(Run.status == RunStatus.QUEUED)).all()
    assert sorted(sent) == sorted(run.id for run in started)
    assert {run.task_id for run in started} == {task.id for task in idle}
    assert {run.trigger for run in started} == {Trigger.PERSON}
    for task in idle:
        db.session.refresh(task)
        assert task.last_run_id in sent


@pytest.mark.parametrize(
    ("action", "sentence", "active"),
    [
        ("activate", "1 task activated; 2 already active.", True),
        ("deactivate", "2 tasks deactivated; 1 already inactive.", False),
    ],
)
def test_many_are_switched_at_once(
    signed_in: FlaskClient, make_task: MakeTask, action: str, sentence: str, active: bool
) -> None:
    made = [make_task(), make_task(), make_task(is_active=False)]

    answer = signed_in.post("/tasks/bulk", data={"action": action, "ids": [task.id for task in made]})

    assert sentence in signed_in.get(answer.location).text
    for task in made:
        db.session.refresh(task)
        assert (task.active, task.next_run_at is not None) == (active, active)


def test_deleting_many_asks_in_words_first(
    signed_in: FlaskClient, make_task: MakeTask, make_run: MakeRun
) -> None:
    kept, *gone = [make_task(name=f"number {number}") for number in range(4)]
    for task in (kept, gone[0], gone[0], gone[1]):
        make_run(RunStatus.SUCCESS, task)
    form = {"action": "delete", "ids": [task.id for task in gone]}

    asked = " ".join(signed_in.post("/tasks/bulk", data=form).text.split())
    before = count(ScheduledTask)
    answer = signed_in.post("/tasks/bulk", data=form | {"confirmed": "yes"})

    assert "<h1>Delete 3 tasks and their 3 runs?</h1>" in asked
    assert asked.count('name="ids"') == 3
    assert before == 4
    assert (count(ScheduledTask), count(Run)) == (1, 1)
    assert "3 tasks deleted." in signed_in.get(answer.location).text


@pytest.mark.parametrize(
    "ids",
    [[], ["x", "-1", "1e3", "\u0663", "99999999999999999999"], [str(number) for number in range(1, 502)]],
)
def test_a_selection_of_none_or_too_many_is_refused(
    signed_in: FlaskClient, make_task: MakeTask, sent: list[int], ids: list[str]
) -> None:
    make_task()

    answer = signed_in.post("/tasks/bulk", data={"action": "run", "ids": ids})

    assert "Select between 1 and 500 tasks first." in signed_in.get(answer.location).text
    assert count(Run) == 0


def test_the_jobs_of_deleted_tasks_are_stopped(
    signed_in: FlaskClient, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped: list[tuple[str, list[str]]] = []
    handle_messages(monkeypatch, "stop_jobs", lambda *asked: stopped.append(asked))
    going, over = make_run(RunStatus.RUNNING), make_run(RunStatus.SUCCESS)
    job_id, ids = going.jobs[0].id, [going.task_id, over.task_id]

    signed_in.post("/tasks/bulk", data={"action": "delete", "ids": ids, "confirmed": "yes"})

    assert stopped == [("main", [job_id])]


def test_an_unknown_action_is_refused(signed_in: FlaskClient, make_task: MakeTask) -> None:
    assert (
        signed_in.post("/tasks/bulk", data={"action": "explode", "ids": [make_task().id]}).status_code == 400
    )


def test_a_duplicate_begins_as_an_inactive_copy(signed_in: FlaskClient, make_task: MakeTask) -> None:
    task = make_task(name="N" * 118, cron_expression="5 4 * * *", description="Why.")

    page = " ".join(signed_in.get(f"/tasks/{task.id}/duplicate").text.split())

    assert f'value="Copy of {"N" * 112}"' in page
    assert 'value="5 4 * * *"' in page
    assert f'<option value="{task.host_id}" selected>' in page
    assert 'action="/tasks/"' in page
    assert not re.search(r'name="is_active" checked', page)


def test_a_form_sent_twice_makes_one_run(
    signed_in: FlaskClient, make_task: MakeTask, sent: list[int]
) -> None:
    task = make_task()

    first = signed_in.post(f"/tasks/{task.id}/run", data={"request_key": KEY})
    run = db.session.scalars(select(Run)).one()
    run.status, run.completed_at = RunStatus.SUCCESS, NOW
    db.session.commit()
    second = signed_in.post(f"/tasks/{task.id}/run", data={"request_key": KEY})
    other = signed_in.post(f"/tasks/{task.id}/run", data={"request_key": f"{KEY}-2"})

    assert first.location == second.location != other.location
    assert count(Run) == 2


def test_a_form_sent_again_much_later_is_meant(make_task: MakeTask) -> None:
    task = make_task()
    first = starting.start(task, trigger=Trigger.PERSON, now=NOW, request_key=KEY)
    lifecycle.end(first, RunStatus.SUCCESS, None, NOW)

    again = starting.start(task, trigger=Trigger.PERSON, now=NOW + timedelta(minutes=6), request_key=KEY)

    assert again is not first


def test_the_same_key_on_another_task_is_another_request(make_task: MakeTask) -> None:
    first = starting.start(make_task(), trigger=Trigger.PERSON, now=NOW, request_key=KEY)

    second = starting.start(make_task(), trigger=Trigger.PERSON, now=NOW, request_key=KEY)

    assert first.task_id != second.task_id


@pytest.mark.parametrize("key", ["", "short", "x" * 65, "a\x00b" * 8, "é" * 20])
def test_a_key_that_is_none_of_ours_is_left_out(
    signed_in: FlaskClient, make_task: MakeTask, sent: list[int], key: str
) -> None:
    signed_in.post(f"/tasks/{make_task().id}/run", data={"request_key": key})

    assert db.session.scalars(select(Run.request_key)).one() is None


def test_each_form_has_its_own_key(signed_in: FlaskClient, make_task: MakeTask) -> None:
    for _ in range(3):
        make_task()

    keys = re.findall(r'name="request_key" value="([^"]+)"', signed_in.get("/tasks/").text)

    assert len(set(keys)) == 3
