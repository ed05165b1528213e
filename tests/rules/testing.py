"""Lines of the engine and the durable run whose loss `crash_everywhere` sees in a user's flow."""

from tests.rules.mutation import Mutation

BEHIND = "crash/test_crash_everywhere.py::test_a_flow_survives_at_every_point[behind]"
STEP = "crash/test_crash_everywhere.py::test_a_flow_survives_at_every_point[step]"
UNSEEN = "crash/test_crash_everywhere.py::test_a_dead_process_cleans_up_unseen"
SEEDS = "crash/test_crash_everywhere.py::test_the_same_seed_gives_the_same_trace_in_any_process"

MESSAGE = "crash/test_crash_everywhere.py::test_a_flow_survives_as_a_message[step]"

DAYS = "crash/test_crash_everywhere.py::test_a_flow_that_waits_for_days_ends_after_them[table]"
COUNT = (
    "crash/test_crash_everywhere.py::test_a_common_bug_is_caught_and_its_remedy_passes"
    "[counted_over_a_wait-counted_at_once]"
)
FAILS = (
    "crash/test_crash_everywhere.py::test_a_call_that_fails_is_never_made_and_leaves_nothing_behind"
)
MISSED = (
    "crash/test_crash_everywhere.py::test_an_effect_that_failed_and_is_taken_for_done_is_missed"
    "[first_attempt_alone-every_attempt]"
)
PARTS = (
    "crash/test_crash_everywhere.py::test_a_common_bug_is_caught_and_its_remedy_passes"
    "[parts_under_fresh_keys-parts_under_their_keys]"
)
STEPS = (
    "crash/test_crash_everywhere.py::test_an_effect_that_failed_and_is_taken_for_done_is_missed"
    "[steps_noted_before-steps_noted_after]"
)
SHARED = (
    "crash/test_crash_everywhere.py::test_a_common_bug_is_caught_and_its_remedy_passes"
    "[branches_under_one_key-branches_under_their_keys]"
)
REAL = "crash/test_crash_everywhere.py::test_what_is_real_is_named"
OTHERS = "crash/test_crash_everywhere.py::test_a_handler_may_add_jobs_to_other_queues"
VIEWED = (
    "crash/test_crash_everywhere.py"
    "::test_what_changes_in_a_payload_is_told_unless_view_leaves_it_out"
)
READS = "crash/test_crash_everywhere.py::test_what_merely_reads_is_no_effect"
THREADS = "crash/test_crash_everywhere.py::test_an_effect_in_a_thread_of_the_executor_is_seen"
ONE = "unit/test_virtual_time.py::test_a_harness_runs_one_attempt_of_a_worker_that_runs_several"
WORLD = "crash/test_crash_everywhere.py::test_each_run_has_a_world_and_a_folder_of_its_own"
NOTED = "crash/test_crash_everywhere.py::test_what_a_world_remembers_and_was_never_done_is_missed"
FOLDER = "crash/test_crash_everywhere.py::test_real_processes_share_the_folder_of_their_world"
PRINTS = "crash/test_crash_everywhere.py::test_what_handlers_print_is_nothing_to_the_test"
SETS = "crash/test_crash_everywhere.py::test_the_order_of_a_set_is_found_to_be_chance"

MUTATIONS = [
    Mutation(
        "SIM",
        "a write under an older epoch is refused",
        "adapters/memory/runs.py",
        "if run.epoch != ticket.epoch or run.seq > ticket.seq or run.result is not None:",
        "if run.result is not None:",
        BEHIND,
    ),
    Mutation(
        "SIM",
        "what is done is owed no longer",
        "durable/recording.py",
        """            for prefix in ("t/", "e/", "s/"):
                progress.delete(prefix + key)
            for successor""",
        "            for successor",
        STEP,
    ),
    Mutation(
        "SIM",
        "each branch has a key of its own",
        "durable/lineage.py",
        'place = b"#%d" % position if',
        'place = b"#" if',
        STEP,
    ),
    Mutation(
        "SIM",
        "a context value is saved with its activation",
        "durable/recording.py",
        """                progress.put(entry, value)
            self._keep(change)""",
        "                progress.put(entry, value)",
        STEP,
    ),
    Mutation(
        "SIM",
        "all branches are resumed",
        "durable/recording.py",
        """        self._owed = len(items) + self.held_back
        return items

    def suspect""",
        """        self._owed = len(items) + self.held_back
        return items[:1]

    def suspect""",
        STEP,
    ),
    Mutation(
        "SIM",
        "a write that was refused is written again",
        "durable/journal.py",
        "except StoreUnavailable as error:",
        "except ZeroDivisionError as error:",
        STEP,
    ),
    Mutation(
        "SIM",
        "the result replaces the progress",
        "adapters/memory/runs.py",
        "        run.entries = {}\n        run.released",
        "        run.released",
        STEP,
    ),
    Mutation(
        "SIM",
        "a finished run is not run again",
        "durable/run.py",
        "        if self._saved.result is not None:\n            return Finished",
        "        if False:\n            return Finished",
        MESSAGE,
    ),
    Mutation(
        "SIM",
        "a job is acknowledged last",
        "jobs/attempt.py",
        """                await run.finish(result, self._queue.keep_results)
                return Settled(Completed(result), None)""",
        "                return Settled(Completed(result), None)",
        MESSAGE,
    ),
    Mutation(
        "SIM",
        "a dead process reaches nobody",
        "testing/simulation/life.py",
        "        unseen.run(current.set, NOBODY)\n",
        "",
        UNSEEN,
    ),
    Mutation(
        "SIM",
        "the order of tasks comes from the seed",
        "testing/simulation/loop.py",
        "self._timeline.chance.shuffle(steps)",
        "__import__('random').SystemRandom().shuffle(steps)",
        SEEDS,
    ),
    Mutation(
        "SIM",
        "a flow of days is not all renewals",
        "testing/simulation/campaign.py",
        "            lease = trial.lease * STRETCH\n",
        "            return Calm(seen, lease, trial.duration)\n",
        DAYS,
    ),
    Mutation(
        "SIM",
        "a context value that is overwritten is told",
        "testing/context.py",
        "            activation.witness.overwrote(activation)\n",
        "            pass\n",
        COUNT,
    ),
    Mutation(
        "SIM",
        "a call that is to fail is not made",
        "testing/recorder.py",
        "            _ask(name)\n            result",
        "            result",
        FAILS,
    ),
    Mutation(
        "SIM",
        "an effect fails before it is recorded",
        "testing/recorder.py",
        "        _ask(name)\n        self._had(name, key)\n",
        "        self._had(name, key)\n        _ask(name)\n",
        MISSED,
    ),
    Mutation(
        "SIM",
        "effects are told apart by their keys, in whatever order they come",
        "testing/deeds.py",
        "return len({*keys} - {None}) + keys.count(None)",
        "return len(keys)",
        PARTS,
    ),
    Mutation(
        "SIM",
        "one of several effects is missed",
        "testing/deeds.py",
        "        if _number(had) < _number(due):",
        "        if not had:",
        STEPS,
    ),
    Mutation(
        "SIM",
        "effects that share a key are told",
        "testing/tally.py",
        ", *collisions(seen))",
        ",)",
        SHARED,
    ),
    Mutation(
        "SIM",
        "what is real is named",
        "testing/simulation/loop.py",
        "        setattr(SimulatedLoop, _name, _refusing(_name))",
        "        pass",
        REAL,
    ),
    Mutation(
        "SIM",
        "a queue that a handler opens works in the simulation",
        "testing/simulation/loop.py",
        "    hosts_clients = True",
        "    hosts_clients = False",
        OTHERS,
    ),
    Mutation(
        "SIM",
        "payloads are seen as the test wants them to be",
        "testing/judgement.py",
        'return view({"payload": json.loads(payload)})',
        "return payload",
        VIEWED,
    ),
    Mutation(
        "SIM",
        "what merely reads is no effect",
        "testing/recorder.py",
        " or (self._only is not None and attribute not in self._only)",
        "",
        READS,
    ),
    Mutation(
        "SIM",
        "what a real handler does in a thread is seen",
        "testing/processes/victim.py",
        "    carry_into_threads(asyncio.get_running_loop())\n",
        "",
        THREADS + "[processes]",
    ),
    Mutation(
        "SIM",
        "a harness that runs one job runs no other",
        "testing/harness.py",
        "self.worker.with_queue(self.queue, concurrency=1)",
        "self.worker.with_queue(self.queue)",
        ONE,
    ),
    Mutation(
        "SIM",
        "each run has a folder of its own",
        "testing/simulation/trial.py",
        "self._make_world(Path(folder))",
        "self._make_world(Path(folder).parent)",
        WORLD,
    ),
    Mutation(
        "SIM",
        "a process dies between what it notes and the effect",
        "testing/faults.py",
        '"ask": (Fault.DIE, Fault.FAIL)',
        '"ask": (Fault.FAIL,)',
        NOTED,
    ),
    Mutation(
        "SIM",
        "real processes share their world",
        "testing/processes/forge.py",
        'own = folder / "world"',
        'own = folder / f"world {os.getpid()}"',
        FOLDER,
    ),
    Mutation(
        "SIM",
        "what handlers print is no answer",
        "testing/processes/forge.py",
        "    os.dup2(2, 1)\n",
        "",
        PRINTS,
    ),
    Mutation(
        "SIM",
        "the undisturbed run is made in another order of sets",
        "testing/processes/campaign.py",
        'strikes=False, hash_seed="2"',
        "strikes=False",
        SETS,
    ),
]
