"""The lines that keep what resources, lulls, undos and the OIMDB promise."""

from tests.rules.mutation import Mutation

RESOURCES = "unit/test_resources.py::"
WORKER = "integration/test_worker_resources.py::"
LULLS = "unit/test_lulls.py::"
UNDOS = "unit/test_undos.py::"
MODEL = "unit/test_oimdb_model.py"
OIMDB = "unit/test_oimdb.py::"

MUTATIONS = (
    # --- resources
    Mutation(
        "RES",
        "while they are closed no run starts",
        "engine/cns.py",
        "            self._life.refuse()",
        "            pass",
        RESOURCES + "test_before_they_are_open_nothing_runs",
    ),
    Mutation(
        "RES",
        "whoever leaves before the last closes nothing",
        "engine/resources.py",
        "        if self._users or self._stack is None:",
        "        if self._stack is None:",
        RESOURCES + "test_the_first_opens_them_and_the_last_closes_them",
    ),
    Mutation(
        "RES",
        "who comes while they are being opened waits",
        "engine/resources.py",
        "            async with self._lock:\n                if",
        "            if True:\n                if",
        RESOURCES + "test_the_first_opens_them_and_the_last_closes_them",
    ),
    Mutation(
        "RES",
        "another loop is refused",
        "engine/resources.py",
        "            raise ResourcesElsewhere",
        "            pass",
        RESOURCES + "test_a_second_loop_is_told_to_open_its_own",
    ),
    Mutation(
        "RES",
        "a worker opens them",
        "jobs/worker.py",
        "                await stack.enter_async_context(self.cns)\n",
        "",
        WORKER + "test_they_are_open_from_the_first_job_to_the_end_of_the_drain",
    ),
    # --- lulls
    Mutation(
        "LULL",
        "while a strand is on its way there is none",
        "engine/lulls.py",
        "            self._run.loop.call_soon(self._look)\n            return",
        "            pass",
        LULLS + "test_a_fan_out_that_waits_has_one_when_all_of_it_waits",
    ),
    Mutation(
        "LULL",
        "a wait inside of a handler is one",
        "engine/lulls.py",
        "            self._lulls.mark(self._run)",
        "            pass",
        LULLS + "test_each_wait_inside_of_a_handler_ends_a_turn",
    ),
    Mutation(
        "LULL",
        "the end of an inner run is none",
        "engine/lulls.py",
        "        if run is self._run:",
        "        if True:",
        LULLS + "test_an_inner_run_is_part_of_its_outer_ones_turn",
    ),
    Mutation(
        "LULL",
        "the end of a run is one",
        "engine/stimulation.py",
        "            self.lulls.ended(self)",
        "            pass",
        LULLS + "test_without_a_loop_as_well",
    ),
    # --- undos
    Mutation(
        "UNDO",
        "what an inner run did falls with the activation around it",
        "engine/commits.py",
        "        context.hand_undos_to(run.outer)",
        "        pass",
        UNDOS + "test_what_an_inner_run_has_done_falls_with_the_activation_around_it",
    ),
    Mutation(
        "UNDO",
        "the last is undone first",
        "engine/context.py",
        "                undos.pop()()",
        "                undos.pop(0)()",
        UNDOS + "test_what_failed_is_undone_the_last_first",
    ),
    # --- OIMDB
    Mutation(
        "OIM",
        "what was taken back before is not brought back",
        "oimdb/undo.py",
        "while lowest.under is not None and lowest.under.undone:",
        "while False:",
        MODEL,
    ),
    Mutation(
        "OIM",
        "a write over one that may be taken back goes back to it",
        "oimdb/undo.py",
        "            self._latest[cell] = lowest.under",
        "            pass",
        OIMDB + "test_a_write_over_one_that_stays_goes_back_to_it",
    ),
    Mutation(
        "OIM",
        "what others have written since stays",
        "oimdb/undo.py",
        "if self._latest is None or self._latest.get(cell) is not write:",
        "if self._latest is None:",
        OIMDB + "test_what_others_have_written_since_stays",
    ),
    Mutation(
        "OIM",
        "an index lets go of what has moved",
        "oimdb/indexes.py",
        "                self._leave(index_key, key)",
        "                pass",
        OIMDB + "test_an_index_keeps_itself",
    ),
    Mutation(
        "OIM",
        "what was first counts, however often an object is written",
        "oimdb/changes.py",
        "self._pending.setdefault(key, before)",
        "self._pending[key] = before",
        OIMDB + "test_changes_are_told_at_the_flush_one_for_each_object",
    ),
    Mutation(
        "OIM",
        "what an index cannot file is refused before anything is written",
        "oimdb/collection.py",
        "            hash(index_keys)",
        "            pass",
        OIMDB + "test_where_an_index_cannot_file_an_object_nothing_is_written",
    ),
    # --- objects that are changed in place
    Mutation(
        "OIM",
        "an object whose key was changed is not stored twice",
        "oimdb/collection.py",
        "(stored := keys.get(id(value), key)) != key:",
        "(stored := key) != key:",
        MODEL,
    ),
    Mutation(
        "OIM",
        "one that was replaced may come under another key",
        "oimdb/collection.py",
        "            keys.pop(id(before), None)",
        "            pass",
        OIMDB + "test_one_that_was_replaced_may_come_again_under_another_key",
    ),
)
