# ruff: noqa: E501 - the lines of others, as they are
"""The lines that let an attempt cost little, and still keep what the rules ask of it."""

from tests.rules.mutation import Mutation

D1 = "integration/test_d1_resume.py::"
D2 = "integration/test_d2_identity.py::"
D4 = "integration/test_d4_cost.py::"
D9 = "integration/test_d9_counters.py::"
TOGETHER = "integration/test_completing_together.py::"

MUTATIONS = (
    Mutation(
        "D2",
        "the entry of a run is put down before a checkpoint that must hold it",
        "durable/recording.py",
        "        if item[0].checkpoint:\n            self.put_down()",
        "        if False:\n            self.put_down()",
        D2 + "test_the_entry_may_be_a_checkpoint_neuron",
    ),
    Mutation(
        "D1",
        "what a run began with is put down with the first that is done",
        "durable/recording.py",
        "        self.put_down()\n        progress, key",
        "        progress, key",
        D1 + "test_a_failed_step_is_all_that_the_retry_runs",
    ),
    Mutation(
        "D9",
        "what a run began with is charged with the death of its process",
        "durable/run.py",
        "        recording.put_down()\n        owed",
        "        owed",
        D9 + "test_what_a_run_began_with_is_parked_by_name_too",
    ),
    Mutation(
        "D9",
        "what may have killed the process does not go the short way",
        "durable/recording.py",
        "        return bool(self._suspects)",
        "        return False",
        D9 + "test_the_start_of_a_sync_handler_that_may_have_killed_is_written_down_first",
    ),
    Mutation(
        "D4",
        "an attempt that is over leaves no cycles",
        "durable/run.py",
        "            on_lost=partial(_abort, ref(self)),",
        "            on_lost=self.abort,",
        D4 + "test_an_attempt_that_is_over_leaves_nothing_to_the_garbage_collector",
    ),
    Mutation(
        "D6",
        "what a broker did not take of several is told by itself",
        "jobs/consumer.py",
        "                self._spawn(self._settle(*one), one)\n            else:\n                ahead",
        "                self._let_out(one[0], one[1].settlement)\n            else:\n                ahead",
        TOGETHER + "test_what_the_broker_did_not_take_is_told_again_and_run_once",
    ),
    Mutation(
        "D6",
        "what is over together is told together",
        "jobs/consumer.py",
        "            if together > 1 and isinstance",
        "            if together > 100 and isinstance",
        TOGETHER + "test_what_is_over_together_is_told_together",
    ),
)
