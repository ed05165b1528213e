"""The lines that keep secrets from terminals, assistants and logs, and commands and traces true."""

from tests.rules.mutation import Mutation

REDACTION = "integration/test_redaction.py::"
TELEMETRY = "integration/test_telemetry.py::"

MUTATIONS = [
    Mutation(
        "SHELL",
        "what is redacted is struck out of a job's signal",
        "jobs/redaction.py",
        'msgspec.Raw(self.struck(signal["collateralName"], payload))',
        "msgspec.Raw(payload)",
        REDACTION + "test_it_is_struck_out_of_all_that_is_shown",
    ),
    Mutation(
        "SHELL",
        "an assistant is told nothing that is redacted",
        "mcp/server.py",
        "Redaction(worker.history)",
        "Redaction(None)",
        REDACTION + "test_it_is_struck_out_of_all_that_is_shown",
    ),
    Mutation(
        "SHELL",
        "what is no signal is left out where anything is redacted",
        "jobs/redaction.py",
        "        except JobError:\n            return LEFT_OUT",
        "        except JobError:\n            return job.data",
        REDACTION + "test_what_is_no_signal_is_left_out",
    ),
    Mutation(
        "SHELL",
        "passwords are not told",
        "durable/adapters.py",
        '    who, at, place = rest.rpartition("@")',
        '    who, at, place = "", "", rest',
        "integration/test_diagnosis.py::test_passwords_are_not_told",
    ),
    Mutation(
        "SHELL",
        "an attempt links to the span that its worker runs in",
        "telemetry/otel.py",
        "            links=_around(),\n",
        "",
        TELEMETRY + "test_a_worker_within_a_span_links_to_it",
    ),
    Mutation(
        "SHELL",
        "a job carries its trace through a broker of messages",
        "telemetry/otel.py",
        "return Context() if carried is None else _context_of(carried)",
        "del carried\n    return Context()",
        TELEMETRY + "test_the_trace_goes_through_a_real_broker_of_messages",
    ),
    Mutation(
        "SHELL",
        "a job that is made is not one that was sent",
        "jobs/queue.py",
        "tracing.creating(self.name, self.url) as trace:",
        "self._sending(1) as trace:",
        TELEMETRY + "test_a_job_that_is_sent_later_goes_on_from_where_it_was_made",
    ),
    Mutation(
        "SHELL",
        "a series is told once",
        "telemetry/prometheus.py",
        "self._tallies.setdefault(queue.name, Tally())",
        "self._tallies.setdefault(queue.name + queue.url, Tally())",
        "integration/test_prometheus.py::test_queues_of_one_name_are_told_of_together",
    ),
]
