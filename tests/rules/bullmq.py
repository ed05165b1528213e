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
        "what BullMQ does not complete is no lost lease",
        HERE + "broker.py",
        'if verdict == b"refused" and answer[1] != NOT_ACTIVE:',
        "if False:",
        OURS + "test_a_parent_that_bullmq_does_not_complete_is_dead_with_the_reason",
    ),
)
