// The worker of the seed's second listing. It does to job data and progress exactly what that does.
//
//   node worker.mjs '{"port": 6379, "queue": "workflows", ...}'
//
// abortAfter: milliseconds until an attempt is aborted, as the listing does; null: never.
// abortRate: in how many of 1 attempts.   failures: {"step2": 1}: so often a step throws; failRate: by chance.
// stepTime: milliseconds that a step takes.   log: a list to which each step, attempt by attempt, is written.

import { Worker } from 'bullmq';
import { Redis } from 'ioredis';
import { CNS } from './engine.mjs';

const options = {
  concurrency: 1, abortAfter: null, abortRate: 1, failures: {}, failRate: 0, stepTime: 0, log: null, worker: {},
  ...JSON.parse(process.argv[2]),
};
const connection = { port: options.port, maxRetriesPerRequest: null };
const notes = new Redis(connection);

const sleep = time => new Promise(resolve => setTimeout(resolve, time));
const note = entry => options.log && notes.rpush(options.log, JSON.stringify(entry));

async function processJob(job) {
  const { signal } = job.data;
  const results = [];
  const onResponse = r => {
    if (r.outputSignal?.collateralName === 'output') results.push(r.outputSignal.payload.result);
  };
  const cns = new CNS(async (step, payload) => {
    await note({ by: 'node', job: job.id, attempt: job.attemptsStarted, step, id: payload.id });
    await sleep(options.stepTime);
    if (options.failures[step] > 0) {
      options.failures[step] -= 1;
      throw new Error(`${step} failed in Node`);
    }
    if (Math.random() < options.failRate) throw new Error(`${step} failed in Node by chance`);
  });

  const savedProgress = job.progress;
  const isRetry = savedProgress && typeof savedProgress === 'object' && job.attemptsMade > 0;
  const resumed = isRetry ? savedProgress.failedTasks.map(ft => ft.task) : null;
  await note({ by: 'node', job: job.id, attempt: job.attemptsStarted, resumed: resumed?.map(t => t.neuronId) ?? null });

  const abortController = new AbortController();
  const stimulation = isRetry
    ? cns.activate(resumed, { contextValues: savedProgress.context, onResponse, abortSignal: abortController.signal })
    : cns.stimulate(signal, { onResponse, abortSignal: abortController.signal });
  const isAborted = options.abortAfter !== null && Math.random() < options.abortRate;
  const timer = isAborted ? setTimeout(() => abortController.abort(), options.abortAfter) : null;

  try {
    await stimulation.waitUntilComplete();
    return { results };
  } catch (error) {
    const progress = {
      context: stimulation.getContext().getAll(),
      failedTasks: stimulation.getFailedTasks().map(ft => ({
        task: ft.task,
        error: { message: ft.error.message, name: ft.error.name, stack: ft.error.stack },
        aborted: ft.aborted,
      })),
    };
    await job.updateProgress(progress);
    await note({ by: 'node', job: job.id, attempt: job.attemptsStarted, recorded: progress.failedTasks.map(ft => ft.task.neuronId) });
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

const worker = new Worker(options.queue, processJob, {
  connection, concurrency: options.concurrency, ...options.worker,
});
worker.on('error', error => process.stderr.write(`${error}\n`));
await worker.waitUntilReady();
process.stdout.write('ready\n');
process.on('SIGTERM', async () => {
  await worker.close();
  process.exit(0);
});
