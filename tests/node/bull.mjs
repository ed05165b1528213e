// BullMQ's own view of a queue, one question per line on standard input, one answer per line on standard output.
//
//   node bull.mjs PORT QUEUE
//
// {"ask": "add", "data": {...}, "options": {...}}   {"ask": "job", "id": "1"}   {"ask": "counts"}   {"ask": "events"}
// {"ask": "retry", "id": "1"}   {"ask": "remove", "id": "1"}   {"ask": "priorities"}   {"ask": "addMany", "count": 500, "options": {...}}
// {"ask": "addParent", "data": {...}, "of": "QUEUE", "options": {...}}: with one child of the same data, in that queue
// {"ask": "schedule", "id": "tick", "repeat": {"every": 500}, "data": {...}, "options": {...}}   {"ask": "scheduler", "id": "tick"}

import { createInterface } from 'node:readline';
import { FlowProducer, Queue, QueueEvents } from 'bullmq';

const [port, name] = process.argv.slice(2);
const connection = { port: Number(port), maxRetriesPerRequest: null };
const queue = new Queue(name, { connection });
const listener = new QueueEvents(name, { connection, lastEventId: '0-0' });
const events = [];
for (const event of ['added', 'active', 'completed', 'failed', 'delayed', 'waiting', 'stalled', 'progress']) {
  listener.on(event, found => events.push({ event, ...found }));
}
await Promise.all([queue.waitUntilReady(), listener.waitUntilReady()]);

const answers = {
  add: async ({ data, options, name = 'workflow-job' }) => (await queue.add(name, data, options)).id,
  addMany: async ({ count, first = 0, options }) => {
    const jobs = Array.from({ length: count }, (_, n) => ({
      name: 'workflow-job',
      data: { signal: { collateralName: 'input', payload: { id: first + n } } },
      opts: options,
    }));
    return (await queue.addBulk(jobs)).map(job => job.id);
  },
  addParent: async ({ data, of, options }) => {
    const flows = new FlowProducer({ connection });
    const children = [{ name: 'child', queueName: of, data, opts: options }];
    const { job } = await flows.add({ name: 'parent', queueName: name, data, children });
    await flows.close();
    return job.id;
  },
  schedule: async ({ id, repeat, data, options }) =>
    (await queue.upsertJobScheduler(id, repeat, { name: 'tick', data, opts: options })).id,
  scheduler: ({ id }) => queue.getJobScheduler(id),
  job: async ({ id }) => {
    const job = await queue.getJob(id);
    return job ? { ...job.toJSON(), state: await job.getState() } : null;
  },
  counts: () => queue.getJobCounts(),
  events: async () => events,
  retry: async ({ id }) => (await queue.getJob(id)).retry('failed'),
  remove: async ({ id }) => (await queue.getJob(id)).remove(),
  result: async ({ id, timeout }) => (await queue.getJob(id)).waitUntilFinished(listener, timeout),
  pause: () => queue.pause(),
  resume: () => queue.resume(),
};

process.stdout.write('"ready"\n');
for await (const line of createInterface({ input: process.stdin })) {
  const { ask, ...rest } = JSON.parse(line);
  let answer;
  try {
    answer = { answer: (await answers[ask](rest)) ?? null };
  } catch (error) {
    answer = { error: String(error) };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
process.exit(0);
