"""The lines that run one branch of a dead job alone, and lose no other."""

from tests.rules.mutation import Mutation

BRANCHES = "integration/test_branches.py::"
ALONE = BRANCHES + "test_one_branch_runs_alone_and_the_others_stay_owed"
ELSEWHERE = BRANCHES + "test_a_redrive_by_another_tool_runs_all_of_them_too"
CHANGED = BRANCHES + "test_what_this_code_cannot_run_keeps_no_other_branch_from_running"
CRASH = (
    "integration/test_d9_counters.py"
    "::test_a_crash_in_a_branch_that_runs_alone_starts_and_charges_no_other"
)

MUTATIONS = [
    Mutation(
        "BRANCH",
        "what is held back is not started",
        "durable/recording.py",
        "            if self._progress.is_held_back(key):\n",
        "            if not key:\n",
        ALONE,
    ),
    Mutation(
        "BRANCH",
        "a run that holds tasks back is not over",
        "durable/run.py",
        "        if recording.held_back:\n",
        "        if self is None:\n",
        ALONE,
    ),
    Mutation(
        "BRANCH",
        "the end of the branch is written down",
        "durable/run.py",
        "        if failed or recording.held_back:\n",
        "        if failed:\n",
        ALONE,
    ),
    Mutation(
        "BRANCH",
        "a hold outlives the redrive that it is for",
        "durable/progress.py",
        '                self.put(f"h/{key}", b"true")\n',
        '                self.put(f"s/{key}", StartEntry(held_back=True))\n',
        ALONE,
    ),
    Mutation(
        "BRANCH",
        "a hold does not outlive the next redrive",
        "durable/run.py",
        "            self.progress.mark_held_back()\n",
        "",
        ELSEWHERE,
    ),
    Mutation(
        "BRANCH",
        "a hold that was never used does not outlive it either",
        "jobs/queue.py",
        "            await clear_holds(self.broker, self.store, job_id)\n",
        "            pass\n",
        BRANCHES + "test_a_hold_that_was_never_used_is_forgotten",
    ),
    Mutation(
        "BRANCH",
        "what is held back is not charged with a crash",
        "durable/run.py",
        "        owed = [key for key, _ in self.progress.due()]\n",
        "        owed = [key for key, _ in self.progress.tasks()]\n",
        CRASH,
    ),
    Mutation(
        "BRANCH",
        "what is held back need not be known to this code",
        "durable/progress.py",
        "contexts, tasks = self.contexts(), self.due()",
        "contexts, tasks = self.contexts(), self.tasks()",
        CHANGED,
    ),
    Mutation(
        "BRANCH",
        "what is held back need not fit the types of this code",
        "durable/progress.py",
        "if collateral is None or self.is_held_back(key[2:]):",
        "if collateral is None:",
        CHANGED,
    ),
]
