"""The lines that keep what the BullMQ adapter promises to Node."""

from tests.rules.mutation import Mutation

OURS = "integration/test_bullmq.py::"
NODE = "integration/test_bullmq_node.py::"
ITERATIONS = "unit/test_bullmq_iterations.py::"
HERE = "adapters/bullmq/"

MUTATIONS = (
    Mutation(
        "BULL",
        "a parent whose child failed is not run",
        HERE + "settling.py",
        'if reason := fields.get(b"defa"):',
        'if reason := b"":',
        NODE + "test_a_parent_whose_child_failed_fails_without_being_run",
    ),
    Mutation(
        "BULL",
        "who takes up a cancelled job has not cancelled it",
        HERE + "lua/burying.lua",
        "  redis.call('HDEL', base .. id, 'cn:cancel')\n",
        "",
        NODE + "test_a_dashboard_revives_what_was_cancelled_here",
    ),
    Mutation(
        "BULL",
        "a dead job that others take up has not crashed yet",
        HERE + "broker.py",
        "if has_died(fields):",
        "if False:",
        NODE + "test_a_dashboard_revives_what_was_quarantined_here",
    ),
    Mutation(
        "BULL",
        "the crashes of a job that was taken up are counted again",
        HERE + "lua/take_up.lua",
        "redis.call('HDEL', base .. id, 'cn:end')\n",
        "",
        NODE + "test_the_crashes_of_a_revived_job_are_counted_again",
    ),
    Mutation(
        "BULL",
        "what BullMQ does not complete is no lost lease",
        HERE + "broker.py",
        'if verdict == b"refused" and answer[1] != NOT_ACTIVE:',
        "if False:",
        OURS + "test_a_parent_that_bullmq_does_not_complete_is_dead_with_the_reason",
    ),
    Mutation(
        "BULL",
        "who may not wait for jobs does not ask without a pause",
        HERE + "following.py",
        "            await self._do_without(error)\n",
        "            del error\n",
        "integration/test_bullmq_servers.py::"
        "test_a_worker_that_may_not_wait_for_jobs_looks_now_and_then",
    ),
    # --- job schedulers
    Mutation(
        "BULL",
        "who takes a job of a scheduler adds the next",
        HERE + "broker.py",
        "        await self._iterate(native, fields)\n",
        "",
        NODE + "test_workers_of_both_languages_keep_a_scheduler_going",
    ),
    Mutation(
        "BULL",
        "a scheduler goes on when one of its jobs is cancelled",
        HERE + "broker.py",
        "        await self._iterate(found[0], fields)\n",
        "",
        NODE + "test_a_cancelled_job_of_a_scheduler_is_followed_by_the_next",
    ),
    Mutation(
        "BULL",
        "a schedule that nobody can read is no reason to leave its job",
        HERE + "broker.py",
        "except (ValueError, OverflowError, Refused) as error:",
        "except Refused as error:",
        NODE + "test_a_schedule_that_nobody_can_read_harms_no_job",
    ),
    Mutation(
        "BULL",
        "a scheduler ends at its limit",
        HERE + "iterations.py",
        "number > repeat.limit",
        "False",
        NODE + "test_a_scheduler_ends_at_its_limit",
    ),
    Mutation(
        "BULL",
        "a scheduler ends at its date",
        HERE + "iterations.py",
        "now > repeat.end_date",
        "False",
        ITERATIONS + "test_the_last_job_is_followed_by_none",
    ),
    Mutation(
        "BULL",
        "a job that is taken early is not followed by itself",
        HERE + "iterations.py",
        "max(now, known.prev_millis)",
        "now",
        ITERATIONS + "test_a_job_that_is_taken_early_is_not_followed_by_itself",
    ),
    Mutation(
        "BULL",
        "a schedule without a pattern or an interval does not run at once for ever",
        HERE + "iterations.py",
        "if bool(known.repeat.pattern) == bool(known.repeat.every):",
        "if False:",
        ITERATIONS + "test_a_schedule_that_cannot_be_read_is_told",
    ),
)
