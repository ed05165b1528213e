// As much of an engine as the seed's listing needs: a chain of three steps, aborted and resumed.

const neurons = {
  step1: { input: 'input', output: 'step1Out', emit: payload => ({ id: payload.id }) },
  step2: { input: 'step1Out', output: 'step2Out', emit: payload => ({ id: payload.id }) },
  step3: { input: 'step2Out', output: 'output', emit: payload => ({ result: `Final: ${payload.id}` }) },
};

export class CNS {
  // `work(step, payload)` is what a step does; it may take its time, or throw.
  constructor(work) {
    this.work = work;
  }

  stimulate(signal, options = {}) {
    const id = Math.random().toString(36).slice(2);
    return new Stimulation(this, tasksFor(id, signal), options);
  }

  activate(tasks, options = {}) {
    if (!tasks.length) throw new Error('activate() was given no tasks');
    return new Stimulation(this, tasks, options);
  }
}

class Stimulation {
  constructor(cns, tasks, { abortSignal, contextValues, onResponse }) {
    this.context = { ...contextValues };
    this.failed = [];
    this.done = this.run(cns, [...tasks], abortSignal, onResponse ?? (() => {}));
    this.done.catch(() => {});
  }

  async run(cns, tasks, abortSignal, onResponse) {
    while (tasks.length) {
      const task = tasks.shift();
      if (abortSignal?.aborted) {
        const error = new Error('Task aborted - not started due to abort signal');
        this.failed.push({ task, error, aborted: true });
        continue;
      }
      const { output, emit } = neurons[task.neuronId];
      const payload = task.input.payload;
      try {
        const executed = this.context[task.neuronId]?.executed ?? [];
        this.context[task.neuronId] = { executed: [...executed, `${task.neuronId}-${payload.id}`] };
        await cns.work(task.neuronId, payload);
        const outputSignal = { collateralName: output, payload: emit(payload) };
        onResponse({ inputSignal: task.input, outputSignal });
        tasks.push(...tasksFor(task.stimulationId, outputSignal));
      } catch (error) {
        this.failed.push({ task, error, aborted: false });
      }
    }
    if (this.failed.length) throw this.failed[0].error;
  }

  waitUntilComplete() {
    return this.done;
  }

  getContext() {
    return { getAll: () => this.context };
  }

  getFailedTasks() {
    return this.failed;
  }
}

function tasksFor(stimulationId, signal) {
  return Object.entries(neurons)
    .filter(([, neuron]) => neuron.input === signal.collateralName)
    .map(([neuronId]) => ({
      stimulationId,
      neuronId,
      dendriteCollateralName: signal.collateralName,
      input: { collateralName: signal.collateralName, payload: signal.payload },
    }));
}
