"""The lines that keep what the SQS adapter promises."""

from tests.rules.mutation import Mutation

OURS = "integration/test_sqs.py::"
HERE = "adapters/sqs/"

MUTATIONS = (
    Mutation(
        "SQS",
        "a poll for another lease is not used",
        HERE + "receiver.py",
        "if self._polling is not None and lease != self._lease:",
        "if False:",
        OURS + "test_a_poll_for_another_lease_is_not_used",
    ),
    Mutation(
        "SQS",
        "what a cancelled taker was about to get is given back",
        HERE + "receiver.py",
        """        except asyncio.CancelledError:
            self._discard(taking)
            raise
""",
        """        except asyncio.CancelledError:
            raise
""",
        OURS + "test_who_is_cancelled_takes_nothing",
    ),
    Mutation(
        "SQS",
        "what a poll brings and nobody takes is given back",
        HERE + "receiver.py",
        "        self._polling.add_done_callback(self._offer)\n",
        "",
        OURS + "test_what_a_poll_brings_and_nobody_takes_is_given_back",
    ),
    Mutation(
        "SQS",
        "what a poll brings at the end is given back",
        HERE + "receiver.py",
        """        while self._unwanted:
            await asyncio.wait(self._unwanted)
""",
        "",
        OURS + "test_what_a_poll_brings_at_the_end_is_given_back",
    ),
    Mutation(
        "SQS",
        "more than is asked for by now is given back",
        HERE + "receiver.py",
        """                for message in found[limit:]:
                    await self._give_back(message)
""",
        "",
        OURS + "test_more_than_asked_for_by_now_is_given_back",
    ),
    Mutation(
        "SQS",
        "a lease counts from before its answer",
        HERE + "receiver.py",
        "since = self._clock.monotonic() if wait else asked_at",
        "since = self._clock.monotonic()",
        OURS + "test_a_lease_counts_from_before_its_answer",
    ),
    Mutation(
        "SQS",
        "messages of one group are not taken together",
        HERE + "receiver.py",
        "return 1 if self._place.is_fifo else LARGEST",
        "return LARGEST",
        OURS + "test_the_messages_of_one_key_are_taken_one_after_the_other",
    ),
    Mutation(
        "SQS",
        "what is done is not ours any more",
        HERE + "transport.py",
        """            await self._deletions.add(ReceiptHandle=held.receipt)
            held.ends_at = -inf
""",
        """            await self._deletions.add(ReceiptHandle=held.receipt)
""",
        OURS + "test_a_message_that_was_let_go_is_no_longer_kept",
    ),
    Mutation(
        "SQS",
        "what is put back is not ours any more",
        HERE + "transport.py",
        """            await self._change(held, stay)
            held.ends_at = -inf
""",
        """            await self._change(held, stay)
""",
        OURS + "test_a_message_that_was_let_go_is_no_longer_kept",
    ),
    Mutation(
        "SQS",
        "a lapsed message is not asked for",
        HERE + "transport.py",
        "if ends_at <= held.ends_at or not self._is_ours(held):",
        "if ends_at <= held.ends_at:",
        OURS + "test_a_lapsed_message_is_not_asked_for",
    ),
    Mutation(
        "SQS",
        "an old receipt does not bury what another holds",
        HERE + "transport.py",
        "        if self._is_ours(held_of(message)):\n            id =",
        "        if True:\n            id =",
        OURS + "test_a_lease_that_runs_out_gives_the_message_to_others",
    ),
    Mutation(
        "SQS",
        "a message that SQS would delete for its age is sent again",
        HERE + "transport.py",
        "if self._clock.time() + stay > deleted_at:",
        "if False:",
        OURS + "test_a_message_too_old_to_be_put_back_is_sent_again",
    ),
    Mutation(
        "SQS",
        "no message is held longer than it may be",
        HERE + "transport.py",
        "return max(0, min(ceil(visible_in), floor(left)))",
        "return max(0, ceil(visible_in))",
        OURS + "test_a_message_is_not_held_longer_than_the_longest_lease",
    ),
    Mutation(
        "SQS",
        "one message of a batch that failed is told of",
        HERE + "transport.py",
        "            if failure is not None:\n                reason",
        "            if False:\n                reason",
        OURS + "test_a_message_that_sqs_will_not_have_is_told_of",
    ),
    Mutation(
        "SQS",
        "a text that SQS refuses as an id is replaced",
        HERE + "names.py",
        "return text if TOKEN.fullmatch(text) else sha256(text.encode()).hexdigest()",
        "return text",
        OURS + "test_a_text_that_sqs_refuses_as_an_id_is_replaced",
    ),
    Mutation(
        "SQS",
        "of one group a batch holds one message",
        HERE + "letters.py",
        "if batch and (len(batch) == LARGEST or size > left or group in groups):",
        "if batch and (len(batch) == LARGEST or size > left):",
        OURS + "test_a_failed_message_keeps_its_place_in_its_group",
    ),
    Mutation(
        "SQS",
        "a character that SQS refuses comes through",
        HERE + "letters.py",
        "        body = body.replace(character, escaped)\n",
        "        del character, escaped\n",
        OURS + "test_every_character_comes_through",
    ),
)
