"""Every error that cnstra raises. The docstring of each is its message, with the remedy in it."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

LONGEST_QUOTE = 600
"""Characters of a text that a message quotes: it may have come from anywhere."""


class CnstraError(Exception):
    """Something in cnstra went wrong."""

    def __init__(self, message: object = None, *more: object, **context: Any) -> None:
        self.context = context
        for name, value in context.items():
            setattr(self, name, value)
        super().__init__(message or _worded(self.__doc__ or "", context), *more)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args), vars(self)


def _worded(template: str, context: dict[str, Any]) -> str:
    """The docstring of an error, filled in; as it stands where that cannot be done, as it may be
    a user's, and must not become another error.
    """
    with suppress(Exception):
        template = template.format(**{name: _brief(value) for name, value in context.items()})
    return " ".join(template.split())


def text_of(error: BaseException, form: Callable[[Any], str] = str) -> str:
    """What the error says of itself, `str` or `repr`: always a text, and one that UTF-8 can hold,
    whatever its own code raises or returns.
    """
    try:
        text = form(error)
    except Exception as raised:
        kind = type(error).__name__
        text = f"{kind}, which cannot say more: its own code raised {type(raised).__name__}"
    return text.encode("utf-8", "backslashreplace").decode()


def _brief(value: object) -> object:
    text = text_of(value) if isinstance(value, BaseException) else value
    if isinstance(text, str) and len(text) > LONGEST_QUOTE:
        return f"{text[:LONGEST_QUOTE]}…"
    return text


def _rebuild(kind: type[CnstraError], args: tuple[object, ...]) -> CnstraError:
    """Not by its constructor, which may be a user's and take something else."""
    error = kind.__new__(kind)
    error.args = args
    return error


# --- A graph that cannot be built -------------------------------------------------------------


class DefinitionError(CnstraError):
    """This graph cannot be built."""


class InvalidName(DefinitionError):
    """{kind} needs a non-empty text as its name, not {name!r}."""


class DuplicateName(DefinitionError):
    """Two {kind}s are named {name!r}: give one of them another name, as names are what is saved."""


class FormerNameTaken(DefinitionError):
    """The {kind} {name!r} was called {former!r}, it says, but so is or was the {kind} {other!r}:
    a saved task of that name could be either's. Take the name out of one of them."""


class DuplicateDendrite(DefinitionError):
    """Neuron {neuron!r} has two dendrites on collateral {collateral!r}: join them in one."""


class IncompleteBinding(DefinitionError):
    """bind() on neuron {neuron!r} must name each collateral of the axon once:
    missing {missing}, unknown {unknown}."""


class InvalidHandler(DefinitionError):
    """The handler {handler} of neuron {neuron!r} must {duty}."""


class UnstoppableHandler(DefinitionError):
    """The sync handler {handler} of neuron {neuron!r} cannot be stopped after max_duration: make it
    async, or give the dendrite in_thread=True and watch ctx.abort_signal."""


class UnresolvedType(DefinitionError):
    """The type {type} of collateral {collateral!r} cannot be resolved ({reason}): define what it
    names in its module, above the collateral."""


class InvalidOption(DefinitionError, ValueError):
    """{option}={value!r} is not valid: {remedy}."""


# --- A run ------------------------------------------------------------------------------------


class UnknownCollateral(CnstraError):
    """Collateral {collateral!r} is not known to this network{suggestion}. Known: {known}."""


class UnknownNeuron(CnstraError):
    """Neuron {neuron!r} with a dendrite on {collateral!r} is not in this network: it was removed or
    renamed since the task was saved. Bring it back, or say in former_names=... of the one that has
    taken its place that it was called so, and redrive the job."""


class NotOnAxon(CnstraError):
    """Neuron {neuron!r} emitted {collateral!r}, which is not on its axon ({axon}): add it there."""


class InvalidOutput(CnstraError):
    """Neuron {neuron!r} returned {output}: return one signal, a list of signals, or None."""


class DuplicateKey(CnstraError):
    """Two signals of {collateral!r} were emitted at once with the key {key!r}: keys tell the
    branches of one emission apart, so each must be its own."""


class InvalidSignal(CnstraError):
    """{signal} is no signal: pass a Signal or {{"collateralName": ..., "payload": ...}}."""


class InvalidTask(CnstraError):
    """{task} is no activation task: pass an ActivationTask or its wire form {{"neuronId": ...,
    "dendriteCollateralName": ..., "stimulationId": ..., "input": {{...}}}}."""


class InvalidPayload(CnstraError):
    """The payload of collateral {collateral!r} is not of its type {type}: {reason}."""


class PayloadTooNew(CnstraError):
    """The payload of {collateral!r} is version {version} of {type}, and this code knows {known}:
    deploy the newer code here too, then redrive the job."""


class NotSerializable(CnstraError):
    """The payload of collateral {collateral!r} cannot be written as JSON: {reason}. Send an id or
    a path instead, or keep the object in an inner run: ctx.cns.stimulate(...) inside a handler."""


class NothingToActivate(CnstraError, ValueError):
    """activate() was given no tasks: a run without a frontier has nothing left to do. Check
    run.failed_tasks before you retry, or stimulate() afresh."""


class NoRunningLoop(CnstraError, RuntimeError):
    """{reason} needs a running event loop: use `cns.run(signal)`, or call stimulate() from a
    coroutine. Nothing has run."""


class LoopIsRunning(CnstraError, RuntimeError):
    """{call} blocks its thread, but an event loop runs in it: await instead."""


class WrongThread(CnstraError, RuntimeError):
    """A run belongs to the thread and event loop that started it: wait for it there."""


class JoinsItself(CnstraError, RuntimeError):
    """A handler of the run {kind!r}, of which one goes at a time, waits for that run itself, which
    cannot end before it does: call cns.stimulate() there, or ask for another kind."""


class Aborted(CnstraError):
    """The run was aborted: {reason}."""


class HopLimitExceeded(CnstraError):
    """Neuron {neuron!r} would be hop {hops} of a path, over max_neuron_hops={limit}: break the
    loop, or raise the limit."""


class DurationExceeded(CnstraError, TimeoutError):
    """Neuron {neuron!r} ran longer than its max_duration of {limit} s."""


class WaitCycle(CnstraError):
    """Neuron {neuron!r} waits for a permit that can never be free, as its holders wait for this
    run: {cycle}. Raise the concurrency, or do not call {neuron!r} from an inner run there."""


class StimulationFailed(CnstraError):
    """{count} of the run's tasks did not complete: {summary}."""

    failed_tasks: Sequence[Any]
    listener_errors: Sequence[BaseException]


class ListenerFailed(CnstraError):
    """The run completed, but {count} calls of response listeners raised: {summary}."""

    listener_errors: Sequence[BaseException]


# --- Resources ----------------------------------------------------------------------------------


class ResourceError(CnstraError):
    """A resource is not to be had."""


class UnknownResource(ResourceError, KeyError):
    """Resource {resource!r} was not given, or is closed (open: {known}): add its .of() or
    .opened_by() to CNS(..., resources=[...]) or Worker(..., resources=[...])."""

    __str__ = Exception.__str__  # a KeyError shows the repr of its message


class ResourcesNotOpen(ResourceError, RuntimeError):
    """The resources of this CNS are not open ({resources}): put `async with cns:` around its runs,
    or use cns.run() or a Worker, which open them. Nothing has run."""


class ResourcesElsewhere(ResourceError, RuntimeError):
    """The resources of this CNS are open on another event loop: give this one its own, with
    Worker(..., resources=[...]) or cns.with_resources([...])."""


class ResourceFailed(ResourceError):
    """Resource {resource!r} could not be opened: {reason}. Those opened before it are closed."""


# --- OIMDB --------------------------------------------------------------------------------------


class OIMDBError(CnstraError):
    """This OIMDB cannot do that."""


class UnknownObject(OIMDBError, KeyError):
    """Collection {collection!r} holds no object with key {key!r}: use get(), or upsert() first."""

    __str__ = Exception.__str__


class DuplicateObject(OIMDBError):
    """Collection {collection!r} holds an object with key {key!r} already: upsert() replaces it."""


class MutatedKey(OIMDBError):
    """An object of collection {collection!r} was stored under the key {key!r} and now says that its
    key is {found!r}: a key never changes. Remove the object, and add one with the new key."""


class NotMergeable(OIMDBError):
    """An object of type {type} cannot be merged into another: pass how=, a function of the two."""


class SnapshotFailed(OIMDBError):
    """An object of collection {collection!r} cannot be written as JSON: {reason}. Leave such a
    collection in an OIMDB of its own, or store an id instead."""


class SnapshotUnreadable(OIMDBError, ValueError):
    """This snapshot cannot be restored: {reason}. Nothing was changed."""


class EndlessFlush(OIMDBError, RuntimeError):
    """After {rounds} rounds the subscribers of this OIMDB still write what they hear of: write less
    in them, or outside of the flush."""


# --- What a handler raises to steer its retry ---------------------------------------------------


class DoNotRetry(CnstraError):
    """Another attempt cannot help: the job goes to the dead letters, whatever attempts are left."""


class EffectUnknown(DoNotRetry):
    """Nobody knows whether effect {name!r} of neuron {neuron!r} happened: its process died, or its
    answer was lost. Look there for the key {key!r}, tell the ledger by `happened(key, result)` or
    `withdraw(key)`, and redrive the job."""


class InputChanged(DoNotRetry):
    """Neuron {neuron!r} has done activation {key!r} with another input: what comes before it does
    not emit the same each time. Give the queue a store, or its signals a key=."""


class RetryAfter(CnstraError):
    """Retry in {delay} s."""

    delay: float

    def __init__(
        self, delay: float | timedelta, message: object = None, *more: object, **context: Any
    ) -> None:
        wait = delay.total_seconds() if isinstance(delay, timedelta) else float(delay)
        super().__init__(message, *more, delay=wait, **context)


# --- Effects ------------------------------------------------------------------------------------


class LedgerError(CnstraError):
    """The ledger cannot do that."""


class LedgerMissing(LedgerError):
    """The ledger's tables are not in this database, or are not as they should be ({reason}): make
    them once, with `await ledger.create()` or by the statements of `cnstra.effects.ddl()`."""


class LedgerBusy(LedgerError):
    """The ledger of neuron {neuron!r} is in a transaction of this very activation: call ctx.once()
    from a neuron of its own, as no transaction can take an effect outside of it back."""


class WrongLedger(LedgerError):
    """The {handler} handler of neuron {neuron!r} cannot use a ledger whose database is {database}:
    {remedy}."""


class HandlerCommitted(LedgerError):
    """The transactional handler of neuron {neuron!r} has committed by itself (activation {key}):
    what it wrote stands, and what it emitted is not known. Leave the commit to the decorator; mend
    the rows by hand, and ledger.withdraw({key!r})."""


class AwaitedInSync(LedgerError):
    """{what} must be awaited, and a sync handler cannot: make the handler async."""


class NotDone(CnstraError):
    """The effect did not happen: raise this in the function of ctx.once() when that is certain."""


# --- Where clients live --------------------------------------------------------------------------


class IOClosed(CnstraError, RuntimeError):
    """{thread} is closed: what was asked of it is not done, or nobody can say."""


class UsedBeforeFork(CnstraError, RuntimeError):
    """{thread} began in another process, from which this one was forked: its connections cannot be
    shared. Make the queue or history after the fork, or do not use it before."""


# --- Progress and its store ---------------------------------------------------------------------


class StoreError(CnstraError):
    """The progress store failed."""


class Fenced(StoreError):
    """Another worker has taken over run {run!r} (its epoch is {found}, ours {epoch}): this write
    was refused and nothing of it is kept."""


class StoreUnavailable(StoreError):
    """The store at {url} cannot be reached just now ({reason}): the write is tried again."""


class ProgressTooNew(StoreError):
    """The progress of run {run!r} has version {version}, this cnstra reads up to {known}: upgrade
    this worker."""


class ProgressUnreadable(StoreError):
    """The progress of run {run!r} cannot be read: {reason}."""


# --- Jobs, queues, brokers -----------------------------------------------------------------------


class JobError(CnstraError):
    """The job could not be handled."""


class UndecodableJob(JobError):
    """The data of job {job_id!r} is not a signal: {reason}. Expected {{"signal":
    {{"collateralName": ..., "payload": ...}}}}."""


class ForeignJobUnread(UndecodableJob):
    """No signal could be made of the data of job {job_id!r}, which another program has added
    ({reason}). Mend the function that was given to Queue(..., foreign=...), then redrive the
    job."""


class JobUnreadable(JobError):
    """What is stored of the job is not of the types that it was stored with: {reason}. Somebody
    else has written to it."""


class CrashLimitReached(JobError):
    """{neuron} was running each time the process died, {crashes} times in a row: the job is parked.
    Mend the neuron, then redrive it."""


class HeldBack(JobError):
    """The branch that was redriven alone is done. Other tasks were held back, {count} in all, and
    are still owed: redrive the job to run them."""


class JobCancelled(JobError):
    """The job was cancelled."""


class JobFailed(JobError):
    """Job {job_id!r} failed: {reason}."""

    job_id: str
    error: Mapping[str, Any] | None


class NotEditable(JobError):
    """Job {job_id!r} cannot be edited: {reason}."""


class LeaseLost(JobError):
    """The lease of job {job_id!r} was lost: another worker has it, or it was removed."""


class BrokerUnavailable(JobError):
    """The broker at {url} cannot be reached ({reason}): check that it runs and that the URL is
    right."""

    url: str
    reason: object


class BrokerRefused(JobError):
    """The broker at {url} refused {action} ({reason}): {remedy}."""

    url: str
    action: str
    reason: object
    remedy: str


class QueueMismatch(JobError):
    """RabbitMQ at {url} has a queue {queue!r} of another kind: its {argument} is {found}, ours
    {ours}. Delete it there once it is empty, or give the Queue another name. It was not touched."""

    queue: str
    url: str
    argument: str
    found: object
    ours: object


class NotOurDatabase(JobError):
    """{path} is not a cnstra database ({reason}): name another. It was not touched."""


class StreamMismatch(JobError):
    """The stream {stream} is there with other settings than it needs ({reason}): mend them, or name
    another queue or namespace. It was not touched."""


class SchemaTooNew(JobError):
    """{path} was written by a newer cnstra (schema {found}, this one knows {known}): upgrade this
    cnstra. It was not touched."""


class MigrationRequired(JobError):
    """The schema {schema!r} at {url} is {found}, and this role may not change that ({reason}): run
    `cnstra migrate {url}` as the role that owns the database, then grant this one its use."""

    schema: str
    url: str
    found: object
    reason: object


class UnknownScheme(JobError, ValueError):
    """No adapter for the scheme of {url!r}{suggestion}. Installed: {known}."""


class MissingExtra(JobError, ImportError):
    """{what} needs packages that are not installed ({reason}): pip install 'cnstra[{extra}]'."""


class StoreRequired(JobError):
    """{what} needs a store on this broker: Queue(name, url, store="sqlite:///progress.db"), or
    CNSTRA_STORE."""


class UnboundedHandler(JobError):
    """Neuron {neuron!r} may run longer than the {limit:g} s for which this broker leases a job, and
    without a store its work would be lost then: give it a max_duration below that, or the queue a
    store."""


class MessageTooLarge(JobError):
    """Job {job_id!r} takes {size} bytes, and a message of {broker} holds {limit}: give the queue a
    store, Queue(name, url, store=...), or put the large part elsewhere and send where it is."""


class Unsupported(JobError):
    """{broker} does not support {what}: {remedy}."""


class WorkerRuns(JobError, RuntimeError):
    """This worker of queue {queue!r} runs already: make another for a second run at once."""


class QueueClosed(JobError, RuntimeError):
    """The queue {queue!r} is closed."""


# --- Tests --------------------------------------------------------------------------------------


class NotSimulated(CnstraError, NotImplementedError):
    """{what} is real, and a simulation has no sockets, processes or threads: use a fake in its
    place, asyncio.to_thread, or crash_everywhere(..., engine="processes")."""
