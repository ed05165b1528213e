"""The lines that keep what the Postgres adapter promises."""

from tests.rules.mutation import Mutation

OURS = "integration/test_postgres.py::"
SQL = "adapters/postgres/sql/functions/"

MUTATIONS = (
    Mutation(
        "PG",
        "who follows events waits for transactions that began before",
        SQL + "events.sql",
        "RETURN last - coalesce(behind, 0);",
        "RETURN last;",
        OURS + "test_events_wait_for_transactions_that_began_before_them",
    ),
    Mutation(
        "PG",
        "a transaction takes one lock for all its events",
        SQL + "events.sql",
        "IF coalesce(current_setting(:\"schema\".event_lock_noted(), true), '') = '' THEN",
        "IF true THEN",
        OURS + "test_a_transaction_holds_one_lock_however_many_jobs_it_adds",
    ),
    Mutation(
        "PG",
        "the next transaction takes a lock of its own",
        SQL + "events.sql",
        "'held', true)",
        "'held', false)",
        OURS + "test_a_transaction_holds_one_lock_however_many_jobs_it_adds",
    ),
    Mutation(
        "PG",
        "what a lost answer leased is given back",
        "adapters/postgres/unheard.py",
        "return [token for token, until in self._until.items() if until > now]",
        "return []",
        OURS + "test_a_claim_whose_answer_was_lost_costs_its_job_nothing",
    ),
    Mutation(
        "PG",
        "an id that an open transaction holds is not waited for for ever",
        SQL + "enqueueing.sql",
        " SET lock_timeout = '3s'",
        "",
        OURS + "test_an_id_that_an_open_transaction_holds_delays_nobody_else",
    ),
    Mutation(
        "PG",
        "an idle connection that the server has closed is not used",
        "adapters/postgres/pool.py",
        "if not connection.closed and not _has_something_to_say(connection):",
        "if not connection.closed:",
        OURS + "test_a_connection_that_died_while_idle_is_not_used",
    ),
    Mutation(
        "PG",
        "migrations take turns",
        "adapters/postgres/migrating.py",
        "            await connection.execute(_lock(location).encode())\n",
        "",
        OURS + "test_opening_makes_the_schema_once",
    ),
    Mutation(
        "PG",
        "plans do not depend on how large the table was",
        SQL + "claiming.sql",
        "SET jit = off SET enable_seqscan = off SET enable_bitmapscan = off\n",
        "",
        OURS + "test_claims_use_an_index_however_many_wait",
    ),
    Mutation(
        "PG",
        "changes are seen without notifications",
        "adapters/postgres/listening.py",
        "async for told in connection.notifies(timeout=LOOK_EVERY):",
        "async for told in connection.notifies():",
        OURS + "test_a_change_is_seen_without_notifications",
    ),
    Mutation(
        "PG",
        "a settlement whose run is fenced changes nothing",
        SQL + "settling.sql",
        "            IF lands IS NULL THEN",
        "            IF false THEN",
        OURS + "test_a_settlement_brings_the_next_job",
    ),
    Mutation(
        "PG",
        "one that cannot be done fails alone",
        "adapters/postgres/batching.py",
        "if len(batch) > 1 and is_of_one_alone(error):",
        "if False:",
        OURS + "test_what_the_server_refuses_fails_alone",
    ),
    Mutation(
        "PG",
        "a broker that cannot join a transaction refuses a connection",
        "jobs/queue.py",
        "if not self.broker.capabilities.transactional_enqueue:",
        "if False:",
        OURS + "test_a_broker_that_cannot_join_says_so",
    ),
    Mutation(
        "PG",
        "a receiver that leaves gives back what it was about to get",
        "adapters/postgres/broker.py",
        "            self._give_back(claim.token, after=under_way)\n",
        "",
        "integration/test_brokers.py::test_a_cancelled_receiver_keeps_no_job",
    ),
    Mutation(
        "PG",
        "a delay counts by the server's clock",
        "adapters/postgres/sql/enqueue.sql",
        'coalesce(:"schema".the_time() + given.delay, given.run_at)',
        "given.run_at",
        OURS + "test_a_delay_counts_by_the_servers_clock",
    ),
    Mutation(
        "PG",
        "a delay counts by the server's clock, in a transaction of the caller's too",
        "adapters/postgres/sql/enqueue_within.sql",
        'coalesce(:"schema".the_time() + given.delay, given.run_at)',
        "given.run_at",
        OURS + "test_a_delay_counts_by_the_servers_clock",
    ),
    Mutation(
        "PG",
        "jobs that end are locked in the order of those that are renewed",
        SQL + "settling.sql",
        "IF cardinality(ids) > 1 THEN",
        "IF false THEN",
        OURS + "test_jobs_are_locked_in_one_order",
    ),
    Mutation(
        "PG",
        "jobs that are renewed are locked in the order of those that end",
        SQL + "claiming.sql",
        """        ORDER BY one.seq
        FOR UPDATE OF one
    ), renewed AS (""",
        """        FOR UPDATE OF one
    ), renewed AS (""",
        OURS + "test_jobs_are_locked_in_one_order",
    ),
)
