-- What the tool says of itself: which workers report, what the queues hold, and names in place of hashes.

create table workers (
    worker text primary key,
    host text not null,
    pid integer not null,
    version text not null,
    started_at timestamptz not null default now(),
    seen_at timestamptz not null default now(),
    troubles jsonb not null default '[]'
);
comment on table workers is 'The heartbeats of the workers. A worker that stops in order deletes its row.';
comment on column workers.worker is 'Random id of the process.';
comment on column workers.host is 'Name of its host.';
comment on column workers.pid is 'Its process id on that host.';
comment on column workers.version is 'Its version of Muster.';
comment on column workers.started_at is 'When it first reported.';
comment on column workers.seen_at is 'When it last reported.';
comment on column workers.troubles is 'What held its calls back when it last reported: breaker, what, reason.';

alter table holds add column subject text;
comment on column holds.subject is 'Of a hold on an issuer: the subject of its CA. Null: any other hold, or an older version opened it.';

alter table batches add column announced_at timestamptz;
comment on column batches.announced_at is 'When the batch was first seen, or its announced size last rose. Null: only an older version saw it.';

alter table queue_readings
    add column n_messages bigint,
    add column n_dead bigint;
comment on column queue_readings.n_messages is 'How many messages both queues held at the last reading, by the counts of SQS. Null: only an older version read them.';
comment on column queue_readings.n_dead is 'How many messages their dead-letter queues held. Null: unknown, there is none, or it cannot be read.';

create table missing_counts (
    one boolean primary key default true,
    n_missing bigint not null,
    counted_at timestamptz not null,
    constraint one_row check (one)
);
comment on table missing_counts is 'The last count of missing certificates of all batches, which one worker makes for all.';
comment on column missing_counts.one is 'There is one row.';
comment on column missing_counts.n_missing is 'How many certificates are missing.';
comment on column missing_counts.counted_at is 'When they were counted.';
