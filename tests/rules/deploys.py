"""The lines that let work in flight survive a deploy, and that carry a trace with it."""

from tests.rules.mutation import Mutation

VERSIONS = "integration/test_payload_versions.py"
BEGAN = f"{VERSIONS}::test_a_run_that_older_code_began_ends_in_the_new_shape"
TWICE = f"{VERSIONS}::test_a_job_goes_through_two_deploys_and_its_versions_with_it"
NEWER = f"{VERSIONS}::test_what_newer_code_saved_waits_for_its_deploy"
TRACE = "integration/test_telemetry.py::test_one_trace_goes_from_enqueue_over_all_attempts"

MUTATIONS = [
    Mutation(
        "DEPLOY",
        "what was saved is brought up to the present versions before it is resumed",
        "durable/run.py",
        "            self.progress.upcast(self._cns.network)\n",
        "",
        BEGAN,
    ),
    Mutation(
        "DEPLOY",
        "a task says which version its payload is",
        "durable/recording.py",
        "    return VersionedSignal(codec.name, payload, key, version=codec.version)\n",
        "    return Signal(codec.name, payload, key)\n",
        TWICE,
    ),
    Mutation(
        "DEPLOY",
        "a context value says which version it is",
        "durable/progress.py",
        '        if version != UNVERSIONED:\n            self.put(f"v/{neuron}"',
        '        if version < UNVERSIONED:\n            self.put(f"v/{neuron}"',
        TWICE,
    ),
    Mutation(
        "DEPLOY",
        "a version from the future is refused, not guessed",
        "engine/payloads.py",
        "        if version > now:\n",
        "        if version > now + 1:\n",
        NEWER,
    ),
    Mutation(
        "DEPLOY",
        "a job says which version its payload is",
        "jobs/envelope.py",
        '        wire["v"] = found.version\n',
        "        pass\n",
        NEWER,
    ),
    Mutation(
        "TRACE",
        "a job carries the trace of whoever enqueued it",
        "jobs/envelope.py",
        'ours = {"run": run} if trace is None else {"run": run, "trace": trace}',
        'ours = {"run": run}',
        TRACE,
    ),
    Mutation(
        "TRACE",
        "a message carries it too, where its cnstra part is written anew",
        "jobs/message.py",
        "            trace=job.trace,\n",
        "",
        TRACE,
    ),
    Mutation(
        "TRACE",
        "a job is run once, whatever becomes of who looks on",
        "jobs/observing.py",
        "        if not done:\n",
        "        if delivery:\n",
        "integration/test_telemetry.py::test_an_observer_that_raises_changes_nothing_for_the_job",
    ),
    Mutation(
        "DEPLOY",
        "a check looks at context values too",
        "jobs/checking.py",
        "    return [*_of_tasks(job, progress, network), *_of_contexts(job, progress, network)]\n",
        "    return [*_of_tasks(job, progress, network)]\n",
        "integration/test_payload_versions.py::test_a_check_looks_at_context_values_that_will_be_read",
    ),
]
