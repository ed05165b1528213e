"""The lines that keep a job of a broker of messages from being lost, or from running as a copy."""

from tests.rules.mutation import Mutation

DEATHS = (
    "integration/test_messages.py::"
    "test_a_death_between_any_two_calls_loses_nothing_and_leaves_nothing"
)
COPIES = "integration/test_messages.py::test_a_copy_of_a_job_does_no_harm"
LIVE = (
    "crash/test_exhaustive.py::"
    "test_a_job_that_is_delivered_twice_ends_though_its_handler_outlasts_a_lease"
)
TAKEOVER = (
    "integration/test_messages.py::"
    "test_a_copy_takes_over_from_a_worker_that_died_once_its_lease_has_passed"
)
RENEWAL = (
    "integration/test_messages.py::test_a_renewal_under_way_holds_up_no_job_that_is_given_back"
)

AGAIN = (
    "integration/test_messages.py::"
    "test_a_job_that_dies_again_before_its_letter_is_swept_out_keeps_the_new_one"
)
LOST = (
    "integration/test_messages.py::"
    "test_a_message_that_was_lost_with_its_connection_is_not_sent_again"
)
REFUSED = "integration/test_messages.py::"

MUTATIONS = [
    Mutation(
        "MSG",
        "a job that is over drops its copies",
        "jobs/turns.py",
        "if entry.over or message.header.generation < entry.header.generation:",
        "if message.header.generation < entry.header.generation:",
        COPIES,
    ),
    Mutation(
        "MSG",
        "a message that was outgrown is dropped",
        "jobs/turns.py",
        "if entry.over or message.header.generation < entry.header.generation:",
        "if entry.over:",
        COPIES,
    ),
    Mutation(
        "MSG",
        "a job is closed before its message is acknowledged",
        "jobs/turns.py",
        """                if self._ledger is not None:
                    await self._ledger.close(turn.job_id, "completed")
                if turn.incoming is not None:
                    await self._transport.done(turn.incoming)
""",
        """                if turn.incoming is not None:
                    await self._transport.done(turn.incoming)
                if self._ledger is not None:
                    await self._ledger.close(turn.job_id, "completed")
""",
        DEATHS,
    ),
    Mutation(
        "MSG",
        "a copy is sent before its original is acknowledged",
        "jobs/turns.py",
        """        await self._post.send([message], delay)
        if self._ledger is not None:
""",
        """        if turn.incoming is not None:
            await self._transport.done(turn.incoming)
        await self._post.send([message], delay)
        if self._ledger is not None:
""",
        DEATHS,
    ),
    Mutation(
        "MSG",
        "a message that is not ours any more is not sent again",
        "jobs/turns.py",
        "elif self._ledger is not None and all(await self._transport.keep([incoming], lease)):",
        "elif self._ledger is not None:",
        LOST,
    ),
    Mutation(
        "MSG",
        "without a store, what was lost is not put in another place",
        "jobs/turns.py",
        "if not all(await self._transport.keep([turn.incoming], turn.lease)):",
        "if False:",
        "integration/test_messages.py::"
        "test_without_a_store_what_was_lost_is_no_more_put_in_another_place",
    ),
    Mutation(
        "MSG",
        "without a store, what was lost is given back and never sent again",
        "jobs/turns.py",
        "if self._post.can_put_back(0.0 if self._ledger is None else lease):",
        "if self._post.can_put_back(lease):",
        "integration/test_messages.py::"
        "test_a_message_that_is_ours_still_is_there_again_for_others[False-0.0]",
    ),
    Mutation(
        "MSG",
        "whoever redrives many jobs does not look through the dead letters for each",
        "jobs/records.py",
        "        self._leftovers.add(job_id, again.header.generation)\n",
        "        await self._drop_letter(job_id)\n",
        "integration/test_messages.py::"
        "test_one_pass_sweeps_out_the_letters_of_all_that_were_redriven_meanwhile",
    ),
    Mutation(
        "MSG",
        "the letter of a later death is no leftover",
        "jobs/leftovers.py",
        "return header.generation < outgrown.get(header.id, 0)",
        "return header.id in outgrown",
        AGAIN,
    ),
    Mutation(
        "MSG",
        "the letter of an earlier death is a leftover, though the job is dead again",
        "jobs/records.py",
        "entry.over is None and not is_outgrown",
        "entry.over is None",
        AGAIN,
    ),
    Mutation(
        "MSG",
        "whoever counts the dead has leftovers swept out first",
        "jobs/messages.py",
        "        await self._records.settled(SWEPT_WITHIN)\n"
        "        return await self._transport.sizes()\n",
        "        return await self._transport.sizes()\n",
        "integration/test_messages.py::"
        "test_one_pass_sweeps_out_the_letters_of_all_that_were_redriven_meanwhile",
    ),
    Mutation(
        "MSG",
        "a job that was redriven and died again is not called alive",
        "jobs/records.py",
        "if one.header.generation >= again.header.generation:",
        "if one.header.generation > again.header.generation:",
        "integration/test_messages.py::"
        "test_a_job_that_died_again_before_its_redrive_was_written_down_stays_dead",
    ),
    Mutation(
        "MSG",
        "a job that was entered and not sent is sent by whoever asks again",
        "jobs/messages.py",
        "if not is_new and (entry.over or (entry.sent and not message.has_minted_id)):",
        "if not is_new:",
        DEATHS,
    ),
    Mutation(
        "MSG",
        "a newer message brings its record up",
        "jobs/turns.py",
        "return await ledger.change(words.id, lambda one: _outgrown(one, words)) or entry",
        "return entry",
        "integration/test_messages.py::test_a_job_whose_redrive_died_once_it_was_sent_is_redriven",
    ),
    Mutation(
        "MSG",
        "a guard waits while its holder's lease is kept",
        "jobs/turns.py",
        "due_at = max(entry.guarded_until, entry.header.run_at or 0.0)",
        "due_at = entry.header.run_at or 0.0",
        DEATHS,
    ),
    Mutation(
        "MSG",
        "a job's record is removed last",
        "jobs/records.py",
        """        await store.forget(entry.header.run)
        if entry.dead_since""",
        """        await ledger.close(job_id, "removed")
        await store.forget(entry.header.run)
        if entry.dead_since""",
        "integration/test_messages.py::test_a_death_while_a_job_is_removed_leaves_a_job_or_nothing",
    ),
    Mutation(
        "COPY",
        "a renewal tells the record that its worker lives",
        "jobs/turns.py",
        "is_ours = turn.incoming is not None or one.guard == turn.token",
        "is_ours = one.guard == turn.token",
        LIVE,
    ),
    Mutation(
        "COPY",
        "a copy takes over once a dead worker's lease has passed",
        "jobs/turns.py",
        "guarded_until=max(one.guarded_until, until)",
        "guarded_until=until * 2",
        TAKEOVER,
    ),
    Mutation(
        "COPY",
        "a job is not guarded once it is being settled",
        "jobs/turns.py",
        "if turn.ends or one.dead_since",
        "if one.dead_since",
        RENEWAL,
    ),
    Mutation(
        "COPY",
        "a job is settled after the renewal under way",
        "jobs/turns.py",
        """        async with turn.writing:
            await self._settle(turn, settlement)
""",
        """        await self._settle(turn, settlement)
""",
        RENEWAL,
    ),
    Mutation(
        "REFUSED",
        "a job that the broker refused leaves no record",
        "jobs/messages.py",
        "                await ledger.forget(header.id)\n",
        "                pass\n",
        REFUSED + "test_an_enqueue_that_is_refused_leaves_no_record[False]",
    ),
    Mutation(
        "REFUSED",
        "nothing is dropped whose data no message holds",
        "jobs/messages.py",
        "        if not self._post.carries_all(message):\n            return\n",
        "",
        REFUSED + "test_a_job_that_was_refused_is_added_again_and_runs_once",
    ),
    Mutation(
        "REFUSED",
        "nothing is dropped that a worker has begun with",
        "jobs/messages.py",
        "if is_untouched and await store.peek(header.run) is None:",
        "if is_untouched:",
        REFUSED + "test_a_job_that_a_worker_has_begun_is_not_dropped",
    ),
    Mutation(
        "REFUSED",
        "a job that is added again is sent again",
        "jobs/messages.py",
        "(entry.sent and not message.has_minted_id)",
        "entry.sent",
        REFUSED + "test_a_job_whose_producer_died_before_it_was_sent_is_sent_by_who_adds_it_again",
    ),
]
