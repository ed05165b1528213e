"""The lines that keep one run, or one job, of a kind at a time."""

from tests.rules.mutation import Mutation

RUNS = "unit/test_one_at_a_time.py::"
JOBS = "integration/test_one_at_a_time.py::"

MUTATIONS = [
    Mutation(
        "ONE",
        "a run that goes is joined",
        "engine/one_at_a_time.py",
        "            self._shared[kind] = shared\n",
        "",
        RUNS + "test_who_comes_while_it_runs_gets_the_same_run",
    ),
    Mutation(
        "ONE",
        "a run that is being aborted is not joined",
        "engine/one_at_a_time.py",
        "shared.run.aborted and not shared.run.done:",
        "False:",
        RUNS + "test_one_that_is_being_aborted_is_not_joined_but_waited_for",
    ),
    Mutation(
        "ONE",
        "a run is left to those who still share it",
        "engine/one_at_a_time.py",
        "if not shared.sharers and not shared.run.done:",
        "if not shared.run.done:",
        RUNS + "test_who_is_cancelled_leaves_it_to_the_others",
    ),
    Mutation(
        "ONE",
        "a run that all have left is aborted",
        "engine/one_at_a_time.py",
        'shared.run.abort("nobody waits for it any more")',
        "pass",
        RUNS + "test_when_all_have_left_it_is_aborted",
    ),
    Mutation(
        "ONE",
        "a handler does not wait for its own run",
        "engine/one_at_a_time.py",
        "        raise JoinsItself(kind=kind)",
        "        return",
        RUNS + "test_a_handler_that_would_wait_for_its_own_run_is_told",
    ),
    Mutation(
        "ONE",
        "all send the job under the id that the store names",
        "jobs/incumbents.py",
        "self._broker.enqueue([replace(job, id=job_id)])",
        "self._broker.enqueue([job])",
        JOBS + "test_of_many_that_come_at_once_one_adds_the_job[memory-6]",
    ),
    Mutation(
        "ONE",
        "a job that is over makes room",
        "jobs/incumbents.py",
        "record.state not in OVER:",
        "True:",
        JOBS + "test_who_joins_gets_the_result_of_the_one_that_runs[memory]",
    ),
    Mutation(
        "ONE",
        "who is appointed is looked up again once the record is ours",
        "jobs/incumbents.py",
        "            if _id_in(saved) != known:\n                continue\n",
        "",
        JOBS + "test_who_looked_before_another_was_appointed_does_not_appoint_over_it",
    ),
    Mutation(
        "ONE",
        "who enters a job has time to send it before others do",
        "jobs/messages.py",
        "entry = await self._once_sent(self._ledger, entry)",
        "pass",
        JOBS + "test_who_comes_while_another_is_about_to_send_the_job_waits_for_it",
    ),
    Mutation(
        "ONE",
        "a job that was entered by one who died is sent by the next",
        "jobs/messages.py",
        "if not is_new and (entry.over or (entry.sent and not message.has_minted_id)):",
        "if not is_new:",
        JOBS + "test_a_death_between_any_two_calls_closes_no_kind",
    ),
]
