CREATE TABLE IF NOT EXISTS cnstra_ledger (
  key text PRIMARY KEY,
  run text NOT NULL,
  neuron text NOT NULL,
  effect text,
  input text NOT NULL,
  state text NOT NULL CHECK (state IN ('started', 'done')),
  outcome text,
  created_at double precision NOT NULL,
  ended_at double precision
);
CREATE INDEX IF NOT EXISTS cnstra_ledger_run ON cnstra_ledger (run);
CREATE INDEX IF NOT EXISTS cnstra_ledger_ended ON cnstra_ledger (ended_at)
  WHERE ended_at IS NOT NULL;
CREATE TABLE IF NOT EXISTS cnstra_outbox (
  key text NOT NULL,
  position integer NOT NULL,
  queue text NOT NULL,
  job text NOT NULL,
  created_at double precision NOT NULL,
  claimed_until double precision NOT NULL,
  PRIMARY KEY (key, position)
);
CREATE INDEX IF NOT EXISTS cnstra_outbox_claimed ON cnstra_outbox (claimed_until);
