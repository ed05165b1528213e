"""The lines that keep strangers out, hostile data harmless, and a history out of the way."""

from tests.rules.mutation import Mutation

SECURITY = "dashboard/test_security.py::"
HISTORY = "integration/test_history.py::"

REVISIONS = "integration/test_revisions.py::"
MUTATIONS = [
    Mutation(
        "PAGE",
        "a form carries the token of its visit",
        "dashboard/access.py",
        "return hmac.compare_digest(self.form_token(visit).encode(), told.encode())",
        "return bool(told) or True",
        SECURITY + "test_another_site_cannot_act_in_somebodys_name",
    ),
    Mutation(
        "PAGE",
        "a form comes from this origin",
        "dashboard/access.py",
        "if visit is None or not _same_origin(request):",
        "if visit is None:",
        SECURITY + "test_another_site_cannot_act_in_somebodys_name",
    ),
    Mutation(
        "PAGE",
        "a visit ends",
        "dashboard/access.py",
        "return visit if visit.expires_at > self._clock.time() else None",
        "return visit",
        SECURITY + "test_a_cookie_that_was_made_up_or_has_expired_opens_nothing",
    ),
    Mutation(
        "PAGE",
        "a page that only shows does nothing",
        "dashboard/desk.py",
        "            if not self.write:\n",
        "            if self is None:\n",
        SECURITY + "test_a_page_that_only_shows_does_nothing",
    ),
    Mutation(
        "PAGE",
        "the page answers to known hosts alone",
        "dashboard/desk.py",
        "return not self._hosts or name in self._hosts",
        "return bool(name) or True",
        SECURITY + "test_the_page_answers_to_the_hosts_that_it_was_given",
    ),
    Mutation(
        "PAGE",
        "what is shown is escaped",
        "dashboard/rendering.py",
        "autoescape=True",
        "autoescape=False",
        SECURITY + "test_hostile_data_is_spelt_out",
    ),
    Mutation(
        "PAGE",
        "what would not be seen is spelt out",
        "dashboard/rendering.py",
        "        finalize=visible,\n",
        "",
        SECURITY + "test_hostile_data_is_spelt_out",
    ),
    Mutation(
        "PAGE",
        "what is redacted is struck out on the page",
        "dashboard/sources.py",
        "        if self.history is None:\n            return data\n        shown",
        "        if self.history is not None:\n            return data\n        shown",
        SECURITY + "test_what_is_redacted_is_struck_out_on_the_page_and_never_saved_so",
    ),
    Mutation(
        "HISTORY",
        "what there is no room for is dropped",
        "history/writer.py",
        "if len(self._told) >= room or self._bytes + size > MOST_BYTES:",
        "if self._bytes + size > MOST_BYTES:",
        HISTORY + "test_what_there_is_no_room_for_is_dropped_and_counted[sqlite]",
    ),
    Mutation(
        "HISTORY",
        "what waits for a database that was away is kept",
        "history/writer.py",
        "                wait = min(wait * 2, LONGEST_PAUSE)\n",
        "                return\n",
        HISTORY + "test_what_waits_for_a_database_that_was_away_is_written[sqlite]",
    ),
    Mutation(
        "HISTORY",
        "an attempt of a worker that died is cut off",
        "history/history.py",
        'if attempt.outcome == "active" and not (is_last and attempt.worker in alive):',
        'if attempt.outcome == "active" and not is_last:',
        HISTORY + "test_a_worker_that_is_killed_leaves_its_attempt_cut_off[sqlite]",
    ),
    Mutation(
        "EDIT",
        "an edit is refused while a worker holds the run",
        "jobs/revision.py",
        "    if seen.held and not await _is_dead(broker, job_id):\n",
        "    if False:\n",
        REVISIONS + "test_an_edit_leaves_the_worker_alone_that_has_begun_meanwhile[memory]",
    ),
    Mutation(
        "EDIT",
        "an edit is of what was read",
        "jobs/revision.py",
        "    is_as_seen = (saved.epoch, saved.seq) == (seen.epoch + 1, seen.seq)\n",
        "    is_as_seen = bool(seen)\n",
        REVISIONS + "test_an_edit_that_a_whole_attempt_has_overtaken_is_refused[memory]",
    ),
    Mutation(
        "EDIT",
        "a job that was redriven since is not edited",
        "jobs/revision.py",
        "    if not is_as_seen or not await _is_dead(broker, job.id):\n",
        "    if not is_as_seen:\n",
        REVISIONS
        + "test_an_edit_that_a_redrive_has_overtaken_is_refused_and_leaves_no_trace[memory]",
    ),
    Mutation(
        "EDIT",
        "an edit that is refused lets go of the run",
        "jobs/revision.py",
        "            await store.commit(ticket, Patch(release=True))\n",
        "            pass\n",
        REVISIONS
        + "test_an_edit_that_a_redrive_has_overtaken_is_refused_and_leaves_no_trace[memory]",
    ),
    Mutation(
        "EDIT",
        "who died while they changed a run is no crash of it",
        "jobs/revision.py",
        "        if not (revision.seen.held or revision.progress.holds):\n",
        "        if not revision.progress.holds:\n",
        REVISIONS + "test_who_dies_while_they_edit_keeps_nobody_from_the_job[memory-redrive]",
    ),
]
