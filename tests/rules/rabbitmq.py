"""The lines that keep what the RabbitMQ adapter promises."""

from tests.rules.mutation import Mutation

OURS = "integration/test_rabbitmq.py::"
ALL = "integration/test_transports.py::{}[rabbitmq]"
HERE = "adapters/rabbitmq/"

MUTATIONS = (
    Mutation(
        "AMQP",
        "who waits for a message hears that the channels are gone",
        HERE + "taking.py",
        """            self._filled.remove(slot)
        self._news.set()
""",
        """            self._filled.remove(slot)
""",
        OURS + "test_who_waits_for_a_message_listens_again_when_the_connection_is_cut",
    ),
    Mutation(
        "AMQP",
        "a worker that runs until idle waits for what is on its way",
        "jobs/consumer.py",
        "if seen_idle == (1 if is_exact else IDLE_LOOKS):",
        "if seen_idle:",
        OURS + "test_a_retry_that_is_on_its_way_to_the_worker_is_waited_for",
    ),
    Mutation(
        "AMQP",
        "a message that no queue takes is told of",
        HERE + "link.py",
        "on_return_raises=confirms",
        "on_return_raises=False",
        OURS + "test_queues_that_were_deleted_are_made_again",
    ),
    Mutation(
        "AMQP",
        "what was in flight on a lost connection is no cancellation",
        HERE + "link.py",
        "if task is None or task.cancelling():",
        "if True:",
        OURS + "test_a_server_that_falls_silent_is_unavailable",
    ),
    Mutation(
        "AMQP",
        "a connection whose socket is gone is made again",
        HERE + "link.py",
        "if self._connection is None or self._lost(self._connection):",
        "if self._connection is None:",
        ALL.format("test_a_cut_connection_loses_nothing"),
    ),
    Mutation(
        "AMQP",
        "a queue that is gone is made again for who sends",
        HERE + "publishing.py",
        """            await self._queues.make_again(queue)
            await self._send(queue, message)
""",
        "            raise\n",
        OURS + "test_queues_that_were_deleted_are_made_again",
    ),
    Mutation(
        "AMQP",
        "no more channels are opened than the server allows for",
        HERE + "taking.py",
        "        return min(count, room)\n",
        "        return count\n",
        OURS + "test_a_worker_of_more_hands_than_there_are_channels_uses_those_that_there_are",
    ),
    Mutation(
        "AMQP",
        "who was there when the message of another was too large is told to try again",
        HERE + "publishing.py",
        "if largest is not None and message.body_size <= int(largest[1]):",
        "if False:",
        OURS + "test_only_the_message_that_is_too_large_for_this_server_is_refused",
    ),
    Mutation(
        "AMQP",
        "who sends many is told what is refused",
        HERE + "transport.py",
        "raise min(failed, key=_may_be_mended)",
        "raise failed[0]",
        OURS + "test_who_sends_many_is_told_which_is_refused_rather_than_to_try_again",
    ),
    Mutation(
        "AMQP",
        "a queue that was missing is not asked for each time",
        HERE + "queues.py",
        "        if self._absences.covers(name):\n            return 0\n",
        "",
        OURS + "test_a_wait_that_is_missing_is_asked_for_more_and_more_rarely",
    ),
    Mutation(
        "AMQP",
        "a queue that was missing is asked for again",
        HERE + "absences.py",
        "self._until[name] = now + min(now - since, LONGEST)",
        "self._until[name] = now + LONGEST",
        OURS + "test_a_wait_that_is_missing_is_asked_for_more_and_more_rarely",
    ),
    Mutation(
        "AMQP",
        "messages of one id are sent one after the other",
        HERE + "publishing.py",
        """        while message_id in self._in_flight:
            await self._in_flight[message_id].wait()
        self._in_flight[message_id] = ended = asyncio.Event()
        try:
            yield
        finally:
            del self._in_flight[message_id]
            ended.set()
""",
        "        yield\n",
        OURS + "test_messages_of_one_id_to_a_missing_queue_are_each_told",
    ),
    Mutation(
        "AMQP",
        "a queue that is gone is made again for who takes",
        HERE + "slot.py",
        "            underlay.on_consumer_cancel_callbacks.add(self._on_cancel)\n",
        "",
        OURS + "test_queues_that_were_deleted_are_made_again",
    ),
    Mutation(
        "AMQP",
        "a slot holds one message",
        HERE + "slot.py",
        """            await channel.set_qos(1, timeout=PATIENCE)
            found""",
        "            found",
        ALL.format("test_two_takers_share_what_there_is"),
    ),
    Mutation(
        "AMQP",
        "the server is asked whether a message is ours",
        HERE + "transport.py",
        "return held.is_ours and await held.slot.holds(held.message)",
        "return held.is_ours",
        OURS + "test_a_message_is_ours_only_if_the_server_says_so",
    ),
    Mutation(
        "AMQP",
        "an old hold does not acknowledge what its slot holds now",
        HERE + "transport.py",
        "return self.slot.is_open and self.slot.message is self.message",
        "return self.slot.is_open",
        OURS + "test_who_is_done_twice_does_not_acknowledge_the_next",
    ),
    Mutation(
        "AMQP",
        "a dead letter is safe before its message is gone",
        HERE + "transport.py",
        """        await self._publisher.publish(self._names.dead, message_of(body, message.id))
        await self.done(message)
""",
        """        await self.done(message)
        await self._publisher.publish(self._names.dead, message_of(body, message.id))
""",
        OURS + "test_a_dead_letter_is_safe_before_its_message_is_gone",
    ),
    Mutation(
        "AMQP",
        "a message of a stranger's has one id for ever",
        HERE + "transport.py",
        """                await self._name(held)
            else:
                taken.append(Incoming(message.body, name, sent_at(message), held))
""",
        """                name = uuid4().hex
            taken.append(Incoming(message.body, name, sent_at(message), held))
""",
        ALL.format("test_messages_with_nothing_of_ours_have_an_id_that_stays"),
    ),
    Mutation(
        "AMQP",
        "a message that cannot be given an id goes back",
        HERE + "transport.py",
        """        except BaseException:
            await held.slot.close()
            raise
        await self._acknowledge(held)
""",
        """        except BaseException:
            raise
        await self._acknowledge(held)
""",
        OURS + "test_a_message_that_cannot_be_given_an_id_goes_back",
    ),
    Mutation(
        "AMQP",
        "a message that is given an id keeps its age",
        HERE + "transport.py",
        "message_of(held.message.body, uuid4().hex, sent_at(held.message))",
        "message_of(held.message.body, uuid4().hex)",
        OURS + "test_a_message_that_is_given_an_id_keeps_its_age",
    ),
    Mutation(
        "AMQP",
        "an alarm holds up publishers alone",
        HERE + "transport.py",
        "self._publisher = Publisher(self._publishing, self._queues, location)",
        "self._publisher = Publisher(self._link, self._queues, location)",
        OURS + "test_a_full_server_makes_publishers_wait_and_nobody_else",
    ),
    Mutation(
        "AMQP",
        "one looks through the dead letters at a time",
        HERE + "transport.py",
        """        async with self._sifting:
            await self._queues.make(self._names.dead)
            await sift(self._link, self._names.dead, judge, limit)
""",
        """        await self._queues.make(self._names.dead)
        await sift(self._link, self._names.dead, judge, limit)
""",
        OURS + "test_two_may_look_through_the_dead_letters_at_once",
    ),
    Mutation(
        "AMQP",
        "what nobody takes goes back",
        HERE + "taking.py",
        "self._returning = loop.call_later(UNTAKEN, self._return_untaken)",
        "pass",
        OURS + "test_what_nobody_takes_goes_back",
    ),
    Mutation(
        "AMQP",
        "who may not make queues uses those that are there",
        HERE + "queues.py",
        "if await self.size(name) is None:",
        "if True:",
        OURS + "test_who_may_not_make_queues_uses_those_that_are_there",
    ),
    Mutation(
        "AMQP",
        "a delay is never longer than it was meant",
        HERE + "names.py",
        "return self.waiting(fitting[-1] if fitting else SHORTEST_TIER)",
        "return self.waiting(TIERS[len(fitting)])",
        OURS + "test_a_delay_takes_the_longest_wait_that_is_not_longer",
    ),
    Mutation(
        "AMQP",
        "what is due while its queue is gone is not dropped",
        HERE + "names.py",
        '        "x-dead-letter-strategy": "at-least-once",\n',
        "",
        OURS + "test_what_is_due_while_its_queue_is_gone_is_not_dropped",
    ),
    Mutation(
        "AMQP",
        "a message is persistent wherever it is moved to",
        HERE + "wire.py",
        "        delivery_mode=DeliveryMode.PERSISTENT,\n",
        "",
        OURS + "test_a_message_tells_a_bystander_what_it_is",
    ),
    Mutation(
        "AMQP",
        "an id of any length comes through",
        HERE + "wire.py",
        "is_long = len(message_id.encode()) > LONGEST_ID",
        "is_long = False",
        "integration/test_transports.py::test_any_text_is_an_id",
    ),
    Mutation(
        "AMQP",
        "a job parks before the server takes its message back",
        HERE + "transport.py",
        "longest_lease=None if timeout is None else timeout - UNTAKEN,",
        "longest_lease=None,",
        OURS + "test_a_job_longer_than_the_consumer_timeout_runs_once",
    ),
)
