"""The lines that keep what the BullMQ adapter promises to Node."""

from tests.rules.mutation import Mutation

OURS = "integration/test_bullmq.py::"
NODE = "integration/test_bullmq_node.py::"
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
)
