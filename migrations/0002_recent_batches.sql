-- Answers "which batches came last", for whoever mistyped a name.
create index recent_batches on batches (first_recorded_at desc);
