// A stock worker with nothing to do: how many jobs it completes in a second, once it is warm (in the second half).
//
//   node noop.mjs '{"port": 6379, "queue": "bench", "concurrency": 50, "total": 40000, "progress": 0}'
//
// progress: how often each job awaits `updateProgress`.

import { Worker } from 'bullmq';

const { port, queue, concurrency, total, progress = 0 } = JSON.parse(process.argv[2]);
let done = 0;
let began = 0;
const worker = new Worker(queue, async job => {
  for (let n = 0; n < progress; n += 1) await job.updateProgress({ context: {}, failedTasks: [] });
  return { results: [] };
}, { connection: { port, maxRetriesPerRequest: null }, concurrency });
worker.on('completed', () => {
  done += 1;
  if (done === total >> 1) began = performance.now();
  if (done === total) {
    const rate = (total - (total >> 1)) / (performance.now() - began) * 1000;
    process.stdout.write(`${JSON.stringify({ rate })}\n`);
  }
});
process.stdout.write('ready\n');
process.on('SIGTERM', () => process.exit(0));
